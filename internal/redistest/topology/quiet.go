package topology

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// The client would print a line for every connection that fails, and here they
// fail by the hundred.
func init() { redis.SetLogger(quiet{}) }

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
