package node

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"

	"yitong/gateway/api"
	"yitong/gateway/policy"
)

// livePolicy is the policy in force; another takes its place while calls go on.
type livePolicy struct {
	now atomic.Pointer[policy.Policies]
}

// Decide implements api.Decider.
func (p *livePolicy) Decide(q policy.Question) policy.Answer { return p.now.Load().Decide(q) }

// reloading are the fields of a configuration that take effect without a restart.
var reloading = map[string]bool{"Policy": true, "Limits": true, "LogLevel": true}

// reload puts into force what of each new configuration can be: policy, limits (but message
// and header), log level. A configuration that can't be used changes nothing.
func reload(ctx context.Context, present Config, changed <-chan Config, rules *livePolicy, limits *api.Limiter, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case next := <-changed:
			p, err := readPolicy(next.Policy)
			if err != nil {
				log.Error("the configuration was read anew and can't be used; the one before stays in force", "error", err)
				continue
			}
			rules.now.Store(p)
			limits.Set(next.Limits)
			if left := restartFor(present, next); len(left) > 0 {
				log.Warn("policy, limits and log level of the configuration are in force; what else changed takes a restart", "changed", strings.Join(left, ", "))
			} else {
				log.Info("policy, limits and log level of the configuration are in force")
			}
		}
	}
}

// restartFor names what differs and takes a restart.
func restartFor(a, b Config) (names []string) {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		field := va.Type().Field(i)
		if !reloading[field.Name] && !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			names = append(names, name)
		}
	}
	return names
}
