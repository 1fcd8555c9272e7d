package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"popcorn/internal/sys"
)

const (
	socketName = "node.sock"
	rootSocket = "/run/popcorn/" + socketName
	// socketEnv names another socket, for daemons and those who call them.
	socketEnv = "POPCORN_NODE_SOCKET"
)

// ownSocket is where a daemon of this user listens.
func ownSocket() string {
	if s := os.Getenv(socketEnv); s != "" {
		return s
	}
	if os.Geteuid() == 0 {
		return rootSocket
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "popcorn", socketName)
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("popcorn-%d", os.Geteuid()), socketName)
}

// findSocket is where this user's calls go: to the user's own daemon if there
// is one, else to the host's.
func findSocket() string {
	own := ownSocket()
	if _, err := os.Stat(own); err == nil || os.Getenv(socketEnv) != "" {
		return own
	}
	return rootSocket
}

// listenLocal opens the socket of the users of this host: of all of them where
// root serves, who has to know whom a request comes from anyway. It is bound
// under a hidden name and shown when it is complete.
func listenLocal(path string) (*net.UnixListener, error) {
	dirMode, mode := os.FileMode(0o700), os.FileMode(0o600)
	if os.Geteuid() == 0 {
		dirMode, mode = 0o711, 0o666
	}
	if err := ownDir(filepath.Dir(path), dirMode); err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.Remove(hidden); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(hidden, mode); err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open socket: %w", err), ln.Close(), os.Remove(hidden))
	}
	return ln, nil
}

// ownDir makes a directory for sockets. One that is there and ours is opened so
// far that users can pass; one of somebody else is refused.
func ownDir(dir string, mode os.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	uid, _ := sys.FileOwner(fi)
	if !fi.IsDir() || int(uid) != os.Geteuid() || fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("directory %s is not user %d's alone", dir, os.Geteuid())
	}
	if fi.Mode().Perm()|mode&0o111 != fi.Mode().Perm() {
		return os.Chmod(dir, fi.Mode().Perm()|mode&0o111)
	}
	return nil
}

// answers tells whether somebody listens at a socket.
func answers(path string) bool {
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return err == nil
}
