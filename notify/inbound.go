package notify

import (
	"bytes"
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/nyaruka/phonenumbers"
	"github.com/twilio/twilio-go/client"

	"impfportal/internal/web"
)

// inboundPath is where Twilio delivers SMS that people send us.
const inboundPath = "/webhooks/sms"

// longestInbound bounds what is read of an SMS: ten parts.
const longestInbound = 1600

// twiML is Twilio's answer format (https://www.twilio.com/docs/messaging/twiml).
type twiML struct {
	XMLName xml.Name `xml:"Response"`
	Message string   `xml:"Message,omitempty"`
}

// inboundSMS takes an SMS from Twilio. Only Twilio knows the account's token, by
// which X-Twilio-Signature is made of address and parameters; anything else is
// refused before it is looked at. Twilio repeats what was not answered, so the
// same SMS may come twice. What it says is not stored and not logged.
func (s *Service) inboundSMS(c *web.Ctx) error {
	token := s.cfg.Twilio.AuthToken
	if token == "" || s.cfg.Inbound == nil {
		return web.NotFound()
	}
	v := client.NewRequestValidator(token)
	signature := c.Get("X-Twilio-Signature")
	if signature == "" || !v.ValidateBody(s.cfg.BaseURL+inboundPath, bytes.Clone(c.Body()), signature) {
		return web.Forbidden()
	}
	form, err := url.ParseQuery(string(c.Body()))
	if err != nil {
		return web.Forbidden()
	}
	n, err := phonenumbers.Parse(form.Get("From"), "ZZ")
	if err != nil || form.Get("AccountSid") != s.cfg.Twilio.AccountSID {
		return web.Forbidden()
	}
	text := web.CleanText(form.Get("Body"))
	if len(text) > longestInbound {
		text = text[:longestInbound]
	}
	reply, err := s.cfg.Inbound(c.Std(), phonenumbers.Format(n, phonenumbers.E164), text)
	if err != nil {
		slog.ErrorContext(c.Std(), "inbound SMS", "sid", form.Get("MessageSid"), "err", err)
		return err
	}
	body, err := xml.Marshal(twiML{Message: smsText(reply)})
	if err != nil {
		return err
	}
	c.Set("Content-Type", "text/xml; charset=utf-8")
	return c.Status(http.StatusOK).Send(append([]byte(xml.Header), body...))
}
