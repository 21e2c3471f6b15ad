package store

import "context"

type guard struct{}

// WithGuard lets every [Store.Update] under the context begin with check, in
// its transaction, and fail as check does: what a caller has found to be there
// must still be when it writes.
func WithGuard(ctx context.Context, check func(*Tx) error) context.Context {
	return context.WithValue(ctx, guard{}, check)
}

func guarded(ctx context.Context, fn func(*Tx) error) func(*Tx) error {
	check, ok := ctx.Value(guard{}).(func(*Tx) error)
	if !ok {
		return fn
	}
	return func(t *Tx) error {
		if err := check(t); err != nil {
			return err
		}
		return fn(t)
	}
}
