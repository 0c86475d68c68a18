package waitingroom

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
)

// codeField is the field of an admission code in a join, in a form and in JSON
// alike.
const codeField = "code"

// codeTries is how many codes of the right form one network may try. A code has
// 70 random bits, so the limit protects no code: it keeps load down. A Redis that
// does not answer lets people try.
var codeTries = redis_rate.Limit{Rate: 30, Burst: 30, Period: 10 * time.Minute}

// codeOf is the code that a join brings; "" = none.
func codeOf(c *web.Ctx) string {
	if !strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEApplicationJSON) {
		return c.Form().Get(codeField)
	}
	var in joinIn
	if err := json.NewDecoder(bytes.NewReader(c.Body())).Decode(&in); err != nil {
		return ""
	}
	return web.CleanText(in.Code)
}

// takeInvited is takePlace for somebody with a code of the hotline.
func (s *Service) takeInvited(c *web.Ctx, v *view, typed string) (Ticket, error) {
	key, person := ensureKey(c), ""
	if v.known.Load().Login {
		if person = citizenOf(c); person == "" {
			return Ticket{}, loginNeeded(c, v)
		}
		key = HashPerson(person)
	}
	t, err := Ticket{}, s.allowCode(c, v)
	if err == nil {
		t, err = s.redeem(c.Std(), v, typed, key, person)
	}
	switch {
	case errors.Is(err, ErrCodeTypo):
		return Ticket{}, codeWrong("waitingroom.code.error.typo", err)
	case errors.Is(err, ErrCode):
		return Ticket{}, codeWrong("waitingroom.code.error.wrong", err)
	case err != nil:
		return Ticket{}, err
	}
	s.putTicket(c, t)
	return t, nil
}

// codeWrong is what is wrong with a code, told in words.
func codeWrong(key string, why error) error {
	return errors.Join(web.Invalid(web.FieldError{Field: codeField, Key: key}), why)
}

// allowCode counts an attempt; it returns a 429 when there were too many.
func (s *Service) allowCode(c *web.Ctx, v *view) error {
	network := hex.EncodeToString(mac(s.keys.derive("code limit"), []byte(c.Network())))
	r, err := redis_rate.NewLimiter(s.rdb).Allow(c.Std(), v.key("code:"+network), codeTries)
	if err != nil {
		s.log.Warn("attempts at codes not counted", "room", v.id, "err", err)
		return nil
	}
	if r.Allowed == 0 {
		seconds := int(math.Ceil(r.RetryAfter.Seconds()))
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(seconds))
		return web.Fail(http.StatusTooManyRequests, "waitingroom.code.error.many", "Wait", waitWords(c, seconds))
	}
	return nil
}
