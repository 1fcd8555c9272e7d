package wire

import "context"

// Probe finds out whether somebody listens at addr: ECONNREFUSED (by errors.Is)
// says that nobody does, any other error that it could not be found out.
func Probe(ctx context.Context, addr string) error {
	tcp, err := dialSocket(ctx, addr)
	if err != nil {
		return err
	}
	return tcp.Close()
}
