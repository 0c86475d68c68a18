package citizen

import (
	"strings"

	"impfportal/internal/web"
	"impfportal/programme"
)

// summary shows the answers in words, step by step.
func (s *Service) summary(c *web.Ctx, a answers) ([]summaryPart, error) {
	in, _ := a.registration(c.Lang)
	group, prog := "", ""
	if g, err := programme.GroupByCode(c.Std(), s.Pool, in.ProgrammeID, in.GroupCode, c.Now, c.Lang); err == nil {
		group = g.Name + " (" + c.T("citizen.group.proof", "Proof", g.Proof) + ")"
	}
	if p, err := programme.ProgrammeByID(c.Std(), s.Pool, in.ProgrammeID, c.Lang); err == nil {
		prog = p.Name
	}
	row := func(field, label, value string) summaryRow {
		if value == "" {
			value = c.T("citizen.none")
		}
		return summaryRow{field, c.T(label), value}
	}
	parts := []summaryPart{
		{Step: stepGroup, Rows: []summaryRow{
			row("who", "citizen.field.who", c.T("citizen.who."+a["who"])),
			row("programme", "citizen.field.programme", prog),
			row("group", "citizen.field.group_short", group),
		}},
		{Step: stepPerson, Rows: []summaryRow{
			row("family_name", "citizen.field.family_name", in.FamilyName),
			row("given_name", "citizen.field.given_name", in.GivenName),
			row("birth", "citizen.field.birth", in.Birth.German()),
			row("sex", "citizen.field.sex", c.T("citizen.sex."+in.Sex)),
		}},
		{Step: stepPrior, Rows: s.priorRows(c, in.Prior)},
		{Step: stepContact, Rows: []summaryRow{
			row("street", "citizen.field.address", addressLine(in.Address.Street, in.Address.Extra, in.Address.Postcode, in.Address.City)),
			row("phone", "citizen.field.phone", in.Phone),
			row("email", "citizen.field.email", in.Email),
			row("lang", "citizen.field.lang", c.T("citizen.lang."+in.Lang)),
		}},
	}
	if in.PassportFamily+in.PassportGiven != "" {
		parts[1].Rows = append(parts[1].Rows, row("passport_family", "citizen.field.passport", strings.TrimSpace(in.PassportGiven+" "+in.PassportFamily)))
	}
	for i := range parts {
		parts[i].Name = c.T("citizen.register.step" + string(rune('0'+parts[i].Step)))
	}
	return parts, nil
}

func (s *Service) priorRows(c *web.Ctx, p *Prior) []summaryRow {
	if p == nil {
		return []summaryRow{{"prior", c.T("citizen.field.prior"), c.T("citizen.prior.none")}}
	}
	rows := []summaryRow{{"prior", c.T("citizen.field.prior"), c.T("citizen.prior." + p.Kind)}}
	if p.Kind == PriorDose {
		name := p.ProductID
		if product, err := programme.ProductByID(c.Std(), s.Pool, p.ProductID); err == nil {
			name = product.Name
		}
		rows = append(rows, summaryRow{"prior_product", c.T("citizen.field.prior_product"), name})
	}
	rows = append(rows, summaryRow{"prior_date", c.T("citizen.field.prior_date"), web.FormatDate(c.Lang, p.Date)})
	if p.Proof != "" {
		rows = append(rows, summaryRow{"prior_proof", c.T("citizen.field.prior_proof"), c.T("citizen.prior_proof." + p.Proof)})
	}
	return rows
}

func addressLine(street, extra, postcode, city string) string {
	var parts []string
	for _, p := range []string{street, extra, strings.TrimSpace(postcode + " " + city)} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ", ")
}
