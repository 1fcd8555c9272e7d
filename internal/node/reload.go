package node

import (
	"context"
	"fmt"
	"os"
	"slices"

	"popcorn/internal/node/api"
	"popcorn/internal/sys"
)

// reloads takes up the configuration anew at every SIGHUP, until ctx ends.
func (d *Daemon) reloads(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			d.reload()
		}
	}
}

// reload takes up the configuration anew. One that is wrong changes nothing.
func (d *Daemon) reload() {
	d.inform(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", sys.Monotonic().Microseconds()))
	defer d.inform("READY=1")
	if d.cfg.Reload == nil {
		return
	}
	next, err := d.cfg.Reload()
	if err == nil {
		err = d.apply(next)
	}
	if err != nil {
		d.log.Error("configuration not taken up", "err", err)
		return
	}
	d.log.Info("configuration taken up")
}

// apply puts in force what can change while the daemon runs.
func (d *Daemon) apply(next Config) error {
	next.fill()
	if err := next.check(); err != nil {
		return err
	}
	if d.registry != nil {
		err := d.registry.change(func(r *api.Roster) error { r.GossipOff = !next.gossips(); return nil })
		if err != nil {
			return err
		}
	}
	d.deputies.govern(next.policy())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cfg.DrainOnStop, d.cfg.DrainTimeout = next.DrainOnStop, next.DrainTimeout
	was, is := d.cfg.fixed(), next.fixed()
	if !slices.Equal(was, is) {
		d.log.Warn("state, listen, advertise, name, metrics, log_format, cgroup and limits only change when the daemon is started again")
	}
	return nil
}

// fixed are the settings that stay as they were at the start.
func (c *Config) fixed() []string {
	return []string{c.State, c.Listen, c.Advertise, c.Name, c.Metrics, c.LogFormat, c.Cgroup, c.all().String(), c.each().String()}
}

// inform tells the service manager; that it cannot be told is only logged.
func (d *Daemon) inform(state string) {
	if err := notify(state); err != nil {
		d.log.Warn(err.Error())
	}
}
