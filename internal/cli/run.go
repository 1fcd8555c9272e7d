package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"popcorn/internal/job"
	"popcorn/internal/syscalls"
)

type runFlags struct {
	nodes    int
	on       place
	spread   bool
	stats    string
	name     string
	abi      string
	log      string
	idlePoll bool

	hosts    string
	hostfile string
	// allocated tells that the hosts are those of the batch job this is part of.
	allocated bool
	loss      time.Duration
	// transport is unix, tcp or tls, between local nodes.
	transport string
	baseline  string

	checkpoint string
	every      time.Duration
	onLoss     string
	children   string

	background bool
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] [--] PROGRAM [ARGUMENT...]",
		Short: "Start a program, its threads on one or several nodes",
		Long: `run starts a program. Its exit code is the program's own, 128+N when signal N
ended it; 125 when popcorn itself failed, 126 when the program cannot be
executed, 127 when it was not found.

Flags end at the first word that is none, so -- is only needed before a program
whose name begins with a dash. What is not given as a flag is taken from
POPCORN_NODES, POPCORN_ON, POPCORN_SPREAD, POPCORN_CHILDREN and POPCORN_STATS, then
from config.toml in $XDG_CONFIG_HOME/popcorn and in /etc/popcorn. Inside a job of
Slurm's its hosts are the default of -H; --nodes 1 leaves them out.

With -d run prints the job's id and returns as soon as the program runs. Its input
is empty then, what it prints is in ID.out in $XDG_STATE_HOME/popcorn/jobs (without
that variable, ~/.local/state/popcorn/jobs or, for root, /var/lib/popcorn/jobs), and
popcorn wait ID tells its exit code, later too. A job that goes on from a checkpoint
(--on-loss) has another id but the same name; wait still takes the first id.

With --children follow a child process that lives for 0.1 s becomes a job of its
own, of the same family, and goes where a new thread of the program would; so do
its children. It is a child to its parent in everything, and lives on without it.`,
		Example: `  popcorn run --nodes 3 --spread -- xz -T4 big.tar
  popcorn run --nodes 2 --on 1 --stats stats.json python3 sum.py
  popcorn run -H b,c:4 --spread -- xz -T8 big.tar
  popcorn run -H b,c --on c -- ./sum
  popcorn run -d --nodes 3 --spread -- ./simulation`,
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd, &f, args) },
	}
	f.addTo(cmd)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// addTo makes the flags of a verb that starts a program.
func (f *runFlags) addTo(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return exitf(exitOurs, "%s: %w; see popcorn %[1]s --help", cmd.Name(), err)
	})
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.IntVar(&f.nodes, "nodes", 1, "`N` local nodes for this run, home included")
	fs.Var(&f.on, "on", "every thread lives at `NODE`, a number or the name of a host of -H, from the first instruction")
	fs.BoolVar(&f.spread, "spread", false, "new threads go round-robin over the nodes")
	fs.StringVar(&f.stats, "stats", "", "write at exit what moved, as JSON, to `FILE`")
	fs.StringVar(&f.abi, "abi", "", "the program makes the popcorn calls of `FAMILY` 4.4 or rfc")
	fs.StringVar(&f.baseline, "cpu-baseline", "", "hold the program to processors of `LEVEL` x86-64, x86-64-v2, -v3 or -v4")
	fs.StringVar(&f.checkpoint, "checkpoint", "", "save the job to `FILE` again and again")
	fs.DurationVar(&f.every, "checkpoint-every", 30*time.Second, "wait for `TIME` before each such checkpoint")
	fs.StringVar(&f.onLoss, "on-loss", "fail", "when a node is lost that the program needs, `DO` fail, or restore the last checkpoint on the others")
	f.addShared(fs)
	fs.BoolVarP(&f.background, "detach", "d", false, "print the job's id when the program runs, and leave it in the background")
}

// addShared makes the flags that a program found running has, too.
func (f *runFlags) addShared(fs *pflag.FlagSet) {
	fs.StringVar(&f.name, "name", "", "call the job `NAME`")
	fs.StringVarP(&f.hosts, "hosts", "H", "", "the program's threads may live on the hosts of `LIST`, as a:4,node[1-3]")
	fs.StringVar(&f.hostfile, "hostfile", "", "the same from a `FILE` of hosts, as MPI has them")
	fs.DurationVar(&f.loss, "loss-timeout", job.DefaultLossTimeout, "count a host as lost that is silent for `TIME`")
	fs.StringVar(&f.transport, "transport", "", "local nodes talk by `KIND` unix, the default, tcp or tls; hosts always by tls")
	fs.StringVar(&f.children, "children", "home", "`DO` home: child processes stay at the origin; follow: those that live on become jobs, placed as threads are")
	fs.StringVar(&f.log, "log", "", "write the supervisors' log to `FILE`")
	fs.BoolVar(&f.idlePoll, "idle-poll", false, "keep idle processors polling: faster faults, more power")
}

// startJob is a variable for tests that look at the Spec only.
var startJob = job.Run

// run starts the program and ends with its exit code.
func run(cmd *cobra.Command, f *runFlags, args []string) error {
	b := isBehind()
	if f.background && b == nil {
		return runBehind(cmd)
	}
	spec, deputies, err := newSpec(cmd, f, args)
	if err != nil {
		return ours(err)
	}
	return runJob(cmd, spec, deputies, b)
}

// runJob runs the job and ends with the program's exit code; b is nil in the
// foreground.
func runJob(cmd *cobra.Command, spec job.Spec, deputies job.Deputies, b *behind) error {
	runs := func(string) {}
	if b != nil {
		b.job.Name, b.job.Command = spec.Name, spec.Argv
		runs = b.runs
	}
	code, err := startJob(cmd.Context(), spec, deputies, runs)
	if b != nil {
		if err != nil && code == 0 {
			code = exitOurs
		}
		err = errors.Join(err, b.ended(code))
	}
	if err != nil {
		if code == 0 {
			code = exitOurs
		}
		return &exitError{code, err}
	}
	return &exitError{code: code}
}

// ours gives an error of popcorn itself the code 125, unless it has a code
// from 125 on already.
func ours(err error) error {
	var e *exitError
	if errors.As(err, &e) && e.code >= exitOurs {
		return err
	}
	return &exitError{exitOurs, err}
}

func newSpec(cmd *cobra.Command, f *runFlags, args []string) (s job.Spec, deputies job.Deputies, err error) {
	if len(args) == 0 {
		return s, nil, usagef("run: no program given; see popcorn run --help")
	}
	if s, deputies, err = f.spec(cmd); err != nil {
		return s, nil, err
	}
	prog, err := lookUp(args)
	s.Path, s.Argv = prog.path, prog.argv
	return s, deputies, err
}

// spec is what the flags and settings say of where a program runs.
func (f *runFlags) spec(cmd *cobra.Command) (s job.Spec, deputies job.Deputies, err error) {
	set, err := resolve(flagSettings(cmd, f))
	if err != nil {
		return s, nil, err
	}
	if set.Nodes == nil {
		f.takeAllocation()
	}
	s = job.Spec{Env: os.Environ(), Nodes: 1, On: -1, Name: f.name, LogFile: f.log, ABI: f.abi,
		IdlePoll: f.idlePoll, Verify: os.Getenv("POPCORN_VERIFY"), LossTimeout: f.loss, Baseline: f.baseline}
	if s.ForeignFrom, err = foreignFrom(); err != nil {
		return s, nil, err
	}
	if err := f.lossPolicy(&s); err != nil {
		return s, nil, err
	}
	s.TCP = f.transport == "tcp"
	if s.Encrypt, err = f.encrypts(); err != nil {
		return s, nil, err
	}
	if s.Follow, err = set.follow(); err != nil {
		return s, nil, err
	}
	settle(&s, set)
	if deputies, err = f.placeOnHosts(cmd, &s); err != nil {
		return s, nil, err
	}
	if set.On != nil {
		if s.On, err = set.On.among(s.Hosts); err != nil {
			return s, nil, fmt.Errorf("--on: %w", err)
		}
	}
	if err := absolute(&s.StatsFile, &s.LogFile, &s.Checkpoint); err != nil {
		return s, nil, err
	}
	return s, deputies, checkSpec(s)
}

func (f *runFlags) lossPolicy(s *job.Spec) error {
	if f.onLoss != "fail" && f.onLoss != "restore" {
		return fmt.Errorf("--on-loss %s: fail and restore are known", f.onLoss)
	}
	s.Checkpoint, s.CheckpointEvery, s.RestoreOnLoss = f.checkpoint, f.every, f.onLoss == "restore"
	return s.CheckLossPolicy()
}

// follow tells whether children are to follow the program.
func (s settings) follow() (bool, error) {
	switch {
	case s.Children == nil || *s.Children == "home":
		return false, nil
	case *s.Children == "follow":
		return true, nil
	}
	return false, fmt.Errorf("--children %s: home and follow are known", *s.Children)
}

func (f *runFlags) encrypts() (bool, error) {
	switch {
	case (f.transport == "tcp" || f.transport == "unix") && (f.hosts != "" || f.hostfile != ""):
		return false, fmt.Errorf("--transport %s: what hosts tell each other is always encrypted", f.transport)
	case f.transport == "" || f.transport == "unix" || f.transport == "tcp" || f.transport == "tls":
		return f.transport == "tls", nil
	}
	return false, fmt.Errorf("--transport %s: unix, tcp and tls are known", f.transport)
}

// placeOnHosts does what --hosts and --hostfile ask for, if they are given.
func (f *runFlags) placeOnHosts(cmd *cobra.Command, s *job.Spec) (job.Deputies, error) {
	list, err := f.hostList()
	if err != nil || list == nil {
		return nil, err
	}
	if cmd.Flags().Changed("nodes") {
		return nil, errors.New("--nodes is for local nodes: leave it out with a list of hosts")
	}
	deputies, err := onHosts(cmd.Context(), s, list)
	if err != nil && f.allocated {
		err = fmt.Errorf("%w (%s lists the hosts of this job of Slurm's; --nodes 1 runs the program here alone)", err, slurmHosts)
	}
	return deputies, err
}

// slurmHosts is where Slurm tells the programs of a job which hosts it has, in the
// form of --hosts (srun(1)).
const slurmHosts = "SLURM_JOB_NODELIST"

// takeAllocation makes the hosts that Slurm has given this shell the default.
func (f *runFlags) takeAllocation() {
	if list := os.Getenv(slurmHosts); list != "" && f.hosts == "" && f.hostfile == "" {
		f.hosts, f.allocated = list, true
	}
}

// foreignFrom is what tests ask for by the environment.
func foreignFrom() (int, error) {
	const name = "POPCORN_TEST_FOREIGN"
	v := os.Getenv(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%s: the number of a remote node is wanted", name, v)
	}
	return n, nil
}

// flagSettings is the layer of settings that the flags given make.
func flagSettings(cmd *cobra.Command, f *runFlags) settings {
	var s settings
	given := cmd.Flags().Changed
	if given("nodes") {
		s.Nodes = &f.nodes
	}
	if given("on") {
		s.On = &f.on
	}
	if given("spread") {
		s.Spread = &f.spread
	}
	if given("stats") {
		s.Stats = &f.stats
	}
	if given("children") {
		s.Children = &f.children
	}
	return s
}

func settle(s *job.Spec, set settings) {
	if set.Nodes != nil {
		s.Nodes = *set.Nodes
	}
	if set.Spread != nil {
		s.Spread = *set.Spread
	}
	if set.Stats != nil {
		s.StatsFile = *set.Stats
	}
}

// absolute turns file names into ones that supervisors, which work elsewhere,
// understand alike; empty ones stay.
func absolute(names ...*string) error {
	for _, name := range names {
		if *name == "" {
			continue
		}
		if *name == "--" { // pflag takes it for the value of what comes before it
			return usagef("an option has -- where the name of a file is to be; name the file (one of that name is ./--)")
		}
		full, err := filepath.Abs(*name)
		if err != nil {
			return fmt.Errorf("find working directory: %w", err)
		}
		*name = full
	}
	return nil
}

func checkSpec(s job.Spec) error {
	switch {
	case s.Nodes < 1 || s.Nodes > maxNodes:
		return fmt.Errorf("a job has 1 to %d nodes, not %d", maxNodes, s.Nodes)
	case s.On < -1 || s.On >= s.Nodes:
		return noSuchNode(s.On, s.Nodes)
	case s.LossTimeout < 3*time.Second:
		return fmt.Errorf("--loss-timeout %v: hosts give a sign of life every second, take 3s or more", s.LossTimeout)
	case !slices.Contains([]string{"", "all"}, s.Verify):
		return fmt.Errorf("POPCORN_VERIFY=%s: only all is known", s.Verify)
	case strings.ContainsAny(s.Name, ":/ \t\n") || strings.HasPrefix(s.Name, "-"):
		return fmt.Errorf("--name %q: a name has no blank, colon or slash and begins with no dash", s.Name)
	}
	if err := job.CheckBaseline(s.Baseline); err != nil {
		return fmt.Errorf("--cpu-baseline: %w", err)
	}
	if _, err := syscalls.ParseABI(s.ABI); err != nil {
		return fmt.Errorf("--abi: %w; without it the calls are 900 to 905", err)
	}
	return nil
}

// noSuchNode says which nodes there are and how to have the one asked for.
func noSuchNode(on, nodes int) error {
	have := "only node 0"
	if nodes == 2 {
		have = "nodes 0 and 1"
	} else if nodes > 2 {
		have = fmt.Sprintf("nodes 0 to %d", nodes-1)
	}
	hint := fmt.Sprintf("use --on %d", nodes-1)
	if on > 0 && on < maxNodes {
		hint = fmt.Sprintf("use --nodes %d or --on %d", on+1, nodes-1)
	}
	return fmt.Errorf("node %d does not exist: this job has %s; %s", on, have, hint)
}
