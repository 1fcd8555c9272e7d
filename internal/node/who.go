package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"popcorn/internal/sys"
)

// who is the origin of a request: a process of this host, a node of the
// cluster, or, at the door to it, anybody.
type who struct {
	local bool
	cred  sys.Cred
	node  string
	addr  string
}

func (w who) String() string {
	switch {
	case w.local:
		return fmt.Sprintf("uid %d (pid %d)", w.cred.UID, w.cred.PID)
	case w.node != "":
		return "node " + w.node
	}
	return "a stranger"
}

// master tells whether w may rule the daemon: root and the daemon's own user.
func (w who) master() bool {
	return w.local && (w.cred.UID == 0 || int(w.cred.UID) == os.Geteuid())
}

type whoKey struct{}

// asks returns the origin of the request whose context it is given.
func asks(ctx context.Context) who {
	w, _ := ctx.Value(whoKey{}).(who)
	return w
}

// ofSocket notes the credentials the kernel has of a unix connection.
func ofSocket(ctx context.Context, c net.Conn) context.Context {
	v, ok := c.(*visit)
	if !ok {
		return ctx
	}
	u, ok := v.Conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	cred, err := sys.PeerCred(u)
	if err != nil {
		return ctx // local stays false: nobody
	}
	return context.WithValue(ctx, whoKey{}, who{local: true, cred: cred})
}

// onlyKnown serves requests whose sender the kernel has named.
func onlyKnown(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !asks(r.Context()).local {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
