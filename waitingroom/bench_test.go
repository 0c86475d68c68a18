package waitingroom

import (
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// BenchmarkPoll compares a poll with the same app answering a constant of the
// same length; no network, so the ratio shows the work of the handler alone.
func BenchmarkPoll(b *testing.B) {
	s := New(Config{Now: time.Now, Keys: NewSigner(testKeys...)})
	v := &view{id: room}
	v.known.Store(&Room{ID: room, Phase: Open, Rate: 600, Epoch: 1, Message: Text{"de": "Guten Tag"}})
	s.rooms.Store(&roomSet{views: map[string]*view{room: v}})
	s.publish(v, &Figures{Issued: 123456, Serving: 1234, Waiting: 122222, Pace: Pace{450, 600}})
	app := fiber.New(fiber.Config{Immutable: true, DisableStartupMessage: true})
	s.MountFast(app)
	constant := string(v.snap.Load().Body())
	app.Get("/constant", func(c *fiber.Ctx) error { return c.SendString(constant) })
	handle := app.Handler()
	for _, path := range []string{"/constant", "/rooms/registration/state.json"} {
		b.Run(path[1:5], func(b *testing.B) {
			for b.Loop() {
				var ctx fasthttp.RequestCtx
				ctx.Request.Header.SetMethod(fiber.MethodGet)
				ctx.Request.SetRequestURI(path)
				handle(&ctx)
				if ctx.Response.StatusCode() != fiber.StatusOK {
					b.Fatal(ctx.Response.StatusCode())
				}
			}
		})
	}
}
