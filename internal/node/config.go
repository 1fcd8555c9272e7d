package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"popcorn/internal/cgroup"
	"popcorn/internal/trust"
)

// DefaultPort is where daemons listen.
const DefaultPort = "7946"

// Config is what a daemon may be told. What is empty has a default.
type Config struct {
	State      string   `toml:"state"`       // the state directory
	Listen     string   `toml:"listen"`      // HOST:PORT for other nodes
	Advertise  string   `toml:"advertise"`   // HOST or HOST:PORT where they find this one
	Name       string   `toml:"name"`        // of this node
	AllowUsers []string `toml:"allow_users"` // names or numbers; empty: all but root
	AllowRoot  bool     `toml:"allow_root"`

	MapUsers map[string]string `toml:"map_users"` // submitting user to the account that its programs run as here

	// What programs of the cluster may use here together, and each of them; zero
	// for what is not limited.
	CPUs         float64     `toml:"cpus"`
	Memory       cgroup.Size `toml:"memory"`
	PIDs         uint32      `toml:"pids"`
	DeputyCPUs   float64     `toml:"deputy_cpus"`
	DeputyMemory cgroup.Size `toml:"deputy_memory"`
	DeputyPIDs   uint32      `toml:"deputy_pids"`
	Cgroup       string      `toml:"cgroup"` // the group the limits are set below; empty: the daemon's own

	DrainOnStop  bool          `toml:"drain_on_stop"` // empty the node before the daemon ends
	DrainTimeout time.Duration `toml:"drain_timeout"` // bounds that

	// Gossip, at the founding node, says whether the members of the cluster gossip;
	// without a word they do. Else they ask the founding node only.
	Gossip *bool `toml:"gossip"`

	Metrics   string `toml:"metrics"`    // HOST:PORT of /metrics and /healthz; empty: nowhere
	LogFormat string `toml:"log_format"` // text or json

	Socket  string                 `toml:"-"` // of the users of this host
	Version string                 `toml:"-"` // of popcorn
	Log     *slog.Logger           `toml:"-"`
	Reload  func() (Config, error) `toml:"-"` // what SIGHUP asks for
	Deputy  []string               `toml:"-"` // program and arguments of a deputy
	Check   []string               `toml:"-"` // of what prints Findings
	Beat    time.Duration          `toml:"-"` // how often members look who lives
}

// ConfigFile is read when no other is named, if it is there.
const ConfigFile = "/etc/popcorn/node.toml"

// LoadConfig reads a configuration file. An absent one is an error only when
// the caller named it.
func LoadConfig(path string) (Config, error) {
	var c Config
	meta, err := toml.DecodeFile(cmp.Or(path, ConfigFile), &c)
	switch {
	case path == "" && errors.Is(err, os.ErrNotExist):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("read configuration: %w", err)
	case len(meta.Undecoded()) > 0:
		return c, fmt.Errorf("read %s: unknown key %q; known are state, listen, advertise, name, allow_users, allow_root, "+
			"map_users, cpus, memory, pids, deputy_cpus, deputy_memory, deputy_pids, cgroup, drain_on_stop, drain_timeout, gossip, metrics and log_format", cmp.Or(path, ConfigFile), meta.Undecoded()[0].String())
	case c.LogFormat != "" && c.LogFormat != "text" && c.LogFormat != "json":
		return c, fmt.Errorf("read %s: log_format %q: text and json are known", cmp.Or(path, ConfigFile), c.LogFormat)
	case c.DrainTimeout < 0:
		return c, fmt.Errorf("read %s: drain_timeout %v: want a time to wait, as in \"60s\"", cmp.Or(path, ConfigFile), c.DrainTimeout)
	}
	return c, nil
}

func (c *Config) gossips() bool { return c.Gossip == nil || *c.Gossip }

// all and each are the limits.
func (c *Config) all() cgroup.Limits {
	return cgroup.Limits{CPUs: c.CPUs, Memory: uint64(c.Memory), PIDs: c.PIDs}
}

func (c *Config) each() cgroup.Limits {
	return cgroup.Limits{CPUs: c.DeputyCPUs, Memory: uint64(c.DeputyMemory), PIDs: c.DeputyPIDs}
}

func (c *Config) policy() policy {
	return policy{users: c.AllowUsers, root: c.AllowRoot, euid: os.Geteuid(), as: c.MapUsers}
}

// check refuses what cannot be done here.
func (c *Config) check() error {
	if err := c.policy().checkMap(); err != nil {
		return err
	}
	if err := c.all().Check(); err != nil {
		return misuse{fmt.Errorf("limit of all programs: %w", err)}
	}
	if err := c.each().Check(); err != nil {
		return misuse{fmt.Errorf("limit of each program: %w", err)}
	}
	return nil
}

// fill puts defaults where nothing was said.
func (c *Config) fill() {
	c.State = cmp.Or(c.State, DefaultState())
	c.Socket = cmp.Or(c.Socket, ownSocket())
	c.DrainTimeout = cmp.Or(c.DrainTimeout, time.Minute)
	c.Beat = cmp.Or(c.Beat, time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Deputy) == 0 {
		c.Deputy = []string{"/proc/self/exe", "deputy"}
	}
	if len(c.Check) == 0 {
		c.Check = []string{"/proc/self/exe", "check", "--json"}
	}
}

// DefaultState is /var/lib/popcorn for root, else what the XDG base directory
// specification calls state.
func DefaultState() string {
	if os.Geteuid() == 0 {
		return "/var/lib/popcorn"
	}
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = os.TempDir()
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "popcorn")
}

// hostName is the first label of this host's name.
func hostName() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("ask for host name: %w", err)
	}
	name, _, _ = strings.Cut(name, ".")
	if err := trust.CheckName(name); err != nil {
		return "", fmt.Errorf("%w; give one with --name", err)
	}
	return name, nil
}

// WithPort completes an address that may lack a port.
func WithPort(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil {
		return net.JoinHostPort(host, cmp.Or(port, DefaultPort))
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), DefaultPort)
}

// checkAddress refuses what nobody could call.
func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w: want HOST:PORT", addr, ErrMalformed)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	ip := net.ParseIP(host)
	if err != nil || n == 0 || host == "" || len(host) > 253 || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("address %q: %w: want HOST:PORT", addr, ErrMalformed)
	}
	return nil
}

// advertised is where others find the daemon that listens at ln. Without a word
// on it, a node that joined says the address it reaches the authority from,
// and the first node that of the first interface to somewhere.
func advertised(want string, ln net.Addr, authority string) (string, error) {
	host, port, err := net.SplitHostPort(ln.String())
	if err != nil {
		return "", fmt.Errorf("find own address: %w", err)
	}
	if want != "" {
		if h, p, err := net.SplitHostPort(want); err == nil {
			return net.JoinHostPort(h, p), nil
		}
		return net.JoinHostPort(strings.Trim(want, "[]"), port), nil
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		return ln.String(), nil
	}
	if authority != "" {
		host = towards(authority)
	} else {
		host = firstAddress()
	}
	return net.JoinHostPort(host, port), nil
}

// towards is the local address of what would be sent to addr. Connecting a
// datagram socket sends nothing.
func towards(addr string) string {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return firstAddress()
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}

func firstAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}

// listenAddr is what would be listened at. Port 0 is not known before; the
// default stands for it until the daemon says what it got.
func listenAddr(listen string) (net.Addr, error) {
	a, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen at %q: %w", listen, err)
	}
	if a.Port == 0 {
		a.Port, _ = strconv.Atoi(DefaultPort)
	}
	return a, nil
}
