package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/node"
	"popcorn/internal/sys"
)

func newNode() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Form a cluster of hosts",
		Long: `node runs and rules the daemon that makes this host a node of a cluster. The
first node founds the cluster; others join with a token it makes.`,
		Example: `  first#  popcorn node serve
  first#  popcorn node token
  second# popcorn node join first --token popcorn1.... --serve
  second# popcorn node ls`,
		Args: cobra.ArbitraryArgs, // so that an unknown verb reaches RunE
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("unknown verb %q; see popcorn node --help", "node "+args[0])
		},
	}
	cmd.AddCommand(newNodeServe(), newNodeToken(), newNodeJoin(), newNodeLs(), newNodeLeave(), newNodeDrain(), newNodeLabel())
	return cmd
}

// nodeFlags are what serve and join may be told of the node.
type nodeFlags struct {
	node.Config
	file   string
	format string // of the log
}

func (f *nodeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Listen, "listen", "", "listen for other nodes at `ADDR:PORT` (default :"+node.DefaultPort+")")
	cmd.Flags().StringVar(&f.Advertise, "advertise", "", "the `ADDR` other nodes find this one at, with or without a port")
	cmd.Flags().StringVar(&f.Name, "name", "", "the `NAME` of this node (default the host's)")
	cmd.Flags().StringVar(&f.State, "state", "", "keep keys and certificates in `DIR` (default /var/lib/popcorn for root)")
	cmd.Flags().StringVar(&f.format, "log-format", "", "write the log as `FORMAT` text, the default, or json")
	cmd.Flags().Float64Var(&f.CPUs, "cpus", 0, "let programs of the cluster use at most `N` processors here together")
	cmd.Flags().Var(&f.Memory, "memory", "let programs of the cluster use at most `SIZE` of memory here together, as in 4G")
	cmd.Flags().Uint32Var(&f.PIDs, "pids", 0, "let programs of the cluster have at most `N` threads here together")
	cmd.Flags().StringVar(&f.Cgroup, "cgroup", "", "set these limits below the cgroup `PATH` (default the daemon's own)")
	cmd.Flags().StringVar(&f.file, "config", "", "read settings from `FILE` (default "+node.ConfigFile+")")
}

// config is what is in force: flags, then the file.
func (f *nodeFlags) config(stderr io.Writer) (node.Config, error) {
	c, err := f.settings()
	if err != nil {
		return c, err
	}
	c.Reload = f.settings
	c.Log, err = newLog(stderr, c.LogFormat)
	return c, err
}

// settings are config's without what goes on while the daemon runs.
func (f *nodeFlags) settings() (node.Config, error) {
	c, err := node.LoadConfig(f.file)
	if err != nil {
		return c, err
	}
	c.Listen = cmp.Or(f.Listen, c.Listen)
	c.Advertise = cmp.Or(f.Advertise, c.Advertise)
	c.Name = cmp.Or(f.Name, c.Name)
	c.State = cmp.Or(f.State, c.State)
	c.LogFormat = cmp.Or(f.format, c.LogFormat)
	c.CPUs = cmp.Or(f.CPUs, c.CPUs)
	c.Memory = cmp.Or(f.Memory, c.Memory)
	c.PIDs = cmp.Or(f.PIDs, c.PIDs)
	c.Cgroup = cmp.Or(f.Cgroup, c.Cgroup)
	c.Version = version
	return c, absolute(&c.State)
}

func newLog(w io.Writer, format string) (*slog.Logger, error) {
	switch format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	}
	return nil, usagef("--log-format %s: text and json are known", format)
}

func newNodeServe() *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon of this node, founding a cluster if it is in none",
		Long: `serve runs the daemon until it gets SIGTERM or SIGINT; a second one ends it at once.
With an empty state directory it founds a cluster of one node. What it is told by
flags then, or at node join, it remembers, but for limits: those it has to be told
each time, or to find in its configuration file (docs/cluster.md has all keys).
It does not start without a limit that was asked for. Logs go to standard error.
SIGHUP has it read its configuration file again.`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.config(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return serveNode(cmd.Context(), c)
		},
	}
	f.add(cmd)
	return cmd
}

func serveNode(ctx context.Context, c node.Config) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, sys.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	return misused(node.Serve(ctx, c))
}

// misused gives what the user said wrongly the exit code for that.
func misused(err error) error {
	if errors.Is(err, node.ErrMalformed) {
		return usagef("%w", err)
	}
	return err
}

func newNodeToken() *cobra.Command {
	ttl := 15 * time.Minute
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token that lets one host join the cluster",
		Long: `token prints a token at standard output, and the command to use it with at
standard error. It is good once and for a short time; whoever holds it can join.
It takes root, or the daemon's own user, at the node that founded the cluster.`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		PreRunE: func(*cobra.Command, []string) error {
			if ttl < time.Second || ttl > 24*time.Hour {
				return usagef("--ttl %v: a token may live for a second to a day", ttl)
			}
			return nil
		},
		RunE: onNode(func(ctx context.Context, cmd *cobra.Command, c *node.Client, _ []string) error {
			t, err := c.Token(ctx, ttl)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Text)
			fmt.Fprintf(cmd.ErrOrStderr(), "within %v, at the host to join:\n    popcorn node join %s --serve --token %s\n", ttl, t.Address, t.Text)
			return nil
		}),
	}
	cmd.Flags().DurationVar(&ttl, "ttl", ttl, "how long the token may be used: a `DURATION` as in 90s or 1h")
	return cmd
}

// onNode makes of do a verb that calls the daemon of this host.
func onNode(do func(context.Context, *cobra.Command, *node.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := interruptible(cmd)
		defer stop()
		c, err := node.Local(ctx)
		if err != nil {
			return err
		}
		return do(ctx, cmd, c, args)
	}
}

func newNodeJoin() *cobra.Command {
	var f nodeFlags
	var token string
	var serve bool
	cmd := &cobra.Command{
		Use:   "join ADDR --token TOKEN",
		Short: "Make this host a node of a cluster",
		Long: `join calls the node that founded the cluster at ADDR, makes sure that it is the one
that made the token, and gets a certificate from it. With --serve it goes on to
serve. --token - reads the token from standard input, where ps does not show it.`,
		Args:              exactly("ADDR"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.config(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if token, err = readToken(token, cmd.InOrStdin()); err != nil {
				return err
			}
			return joinNode(cmd, c, args[0], token, serve)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&token, "token", "", "the `TOKEN` that \"popcorn node token\" made; - for standard input")
	cmd.Flags().BoolVar(&serve, "serve", false, "go on as \"popcorn node serve\" does")
	return cmd
}

func readToken(flag string, in io.Reader) (string, error) {
	switch flag {
	case "":
		return "", usagef("join takes --token TOKEN; \"popcorn node token\" at the founding node makes one")
	case "-":
		text, err := io.ReadAll(io.LimitReader(in, 4096))
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	return flag, nil
}

func joinNode(cmd *cobra.Command, c node.Config, addr, token string, serve bool) error {
	ctx, stop := interruptible(cmd)
	defer stop()
	joined, err := node.Join(ctx, c, addr, token)
	if err != nil {
		return misused(err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "this host is node %s of cluster %s now\n", joined.Name, joined.Cluster)
	if serve {
		stop()
		return serveNode(cmd.Context(), c)
	}
	hint := ""
	if c.State != "" {
		hint = " --state " + c.State
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "start its daemon: popcorn node serve%s\n", hint)
	return nil
}

func newNodeLs() *cobra.Command {
	var quiet, asJSON bool
	cmd := &cobra.Command{
		Use:               "ls [--json] [-q]",
		Short:             "List the nodes of the cluster",
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		PreRunE: func(*cobra.Command, []string) error {
			if quiet && asJSON {
				return usagef("node ls -q prints names only: leave out --json")
			}
			return nil
		},
		RunE: onNode(func(ctx context.Context, cmd *cobra.Command, c *node.Client, _ []string) error {
			return listNodes(ctx, cmd.OutOrStdout(), c, quiet, asJSON)
		}),
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print names only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func listNodes(ctx context.Context, out io.Writer, c *node.Client, quiet, asJSON bool) error {
	self, err := c.Self(ctx)
	if err != nil {
		return err
	}
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	switch {
	case asJSON:
		return printJSON(out, struct {
			Version int           `json:"version"`
			Cluster string        `json:"cluster"`
			Self    string        `json:"self"`
			Nodes   []node.Member `json:"nodes"`
		}{1, self.Cluster, self.Name, members})
	case quiet:
		for _, m := range members {
			if m.State != node.Left {
				fmt.Fprintln(out, m.Name)
			}
		}
		return nil
	}
	return nodeTable(out, members, time.Now())
}

func nodeTable(w io.Writer, members []node.Member, now time.Time) error {
	rows := [][]string{{"NAME", "ADDRESS", "STATE", "SINCE", "ROLE", "ARCH", "CPUS", "MEMORY", "FREE", "KERNEL", "POPCORN", "LABELS"}}
	for _, m := range members {
		role := "member"
		if m.Founder {
			role = "founder"
		}
		cpus, memory, free := "-", "-", "-" // of a node that has not told yet
		if m.CPUs > 0 {
			cpus, memory, free = strconv.Itoa(m.CPUs), gib(m.Memory), gib(m.Free)
		}
		rows = append(rows, []string{m.Name, m.Address, string(m.State), age(now.Sub(m.Since)), role, dash(m.Arch), cpus, memory, free,
			dash(m.Kernel), dash(m.Version), dash(labelsText(m.Labels))})
	}
	return table(w, rows)
}

func gib(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

func newNodeLeave() *cobra.Command {
	return &cobra.Command{
		Use:   "leave [NODE]",
		Short: "Take a node out of the cluster",
		Long: `leave takes this host out of its cluster: its certificate is revoked, its keys are
removed, its daemon ends. At the node that founded the cluster, leave NODE removes
another, whether that one answers or not.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("leave takes one NODE or none; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeNodes,
		RunE: onNode(func(ctx context.Context, _ *cobra.Command, c *node.Client, args []string) error {
			return c.Leave(ctx, strings.Join(args, ""))
		}),
	}
}

// completeNodes offers the names of the cluster's nodes as first argument.
func completeNodes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeAllNodes(cmd, nil, "")
}

// completeAllNodes offers them as every argument.
func completeAllNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	c, err := node.Local(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	members, _ := c.Members(ctx)
	var out []string
	for _, m := range members {
		out = append(out, m.Name)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
