package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// meter counts what there is no other record of.
type meter struct {
	calls     *prometheus.CounterVec
	strangers prometheus.Counter
}

func newMeter() *meter {
	return &meter{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "popcorn_calls_total",
			Help: "Calls of users and other nodes, by name and by how they ended: ok, refused, failed."}, []string{"call", "result"}),
		strangers: prometheus.NewCounter(prometheus.CounterOpts{Name: "popcorn_strangers_total",
			Help: "Handshakes and requests refused for want of a certificate of this cluster."}),
	}
}

// observer collects what the daemon can be asked for at any time.
type observer struct{ d *Daemon }

var (
	infoDesc     = prometheus.NewDesc("popcorn_node_info", "This node.", []string{"name", "cluster", "version", "role"}, nil)
	membersDesc  = prometheus.NewDesc("popcorn_members", "Nodes of the cluster, by state as seen from here.", []string{"state"}, nil)
	deputiesDesc = prometheus.NewDesc("popcorn_deputies", "Programs of other nodes that have a deputy here.", nil, nil)
	drainingDesc = prometheus.NewDesc("popcorn_draining", "1 while this node is being emptied.", nil, nil)
	expiresDesc  = prometheus.NewDesc("popcorn_certificate_expires_timestamp_seconds", "When this node's certificate expires.", nil, nil)
)

// Describe implements prometheus.Collector.
func (o observer) Describe(c chan<- *prometheus.Desc) { prometheus.DescribeByCollect(o, c) }

// Collect implements prometheus.Collector.
func (o observer) Collect(c chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	self := o.d.Self()
	gauge(infoDesc, 1, self.Name, o.d.id.Identity().Cluster, self.Version, roleOf(self))
	count := map[State]int{Alive: 0, Suspect: 0, Unreachable: 0, Draining: 0, Left: 0}
	for _, m := range o.d.members.List() {
		count[m.State]++
	}
	for s, n := range count {
		gauge(membersDesc, float64(n), string(s))
	}
	if state, err := o.d.drain.ask(); err == nil {
		draining := 0.0
		if state.Draining {
			draining = 1
		}
		gauge(deputiesDesc, float64(state.Left))
		gauge(drainingDesc, draining)
	}
	gauge(expiresDesc, float64(o.d.id.Expires().Unix()))
}

func roleOf(m Member) string {
	if m.Founder {
		return "founder"
	}
	return "member"
}

// observe serves /metrics and /healthz.
func (d *Daemon) observe() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(d.meter.calls, d.meter.strangers, observer{d}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := d.healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// healthBeats is how many beats in a row the daemon may not get round to looking at
// its cluster; health is not judged by less than healthLeast.
const (
	healthBeats = 10
	healthLeast = 10 * time.Second
)

// healthy is nil, or why this daemon does not do what it is there for. That others
// are down is not its illness.
func (d *Daemon) healthy() error {
	if idle := time.Since(d.members.looked()); idle > max(healthBeats*d.cfg.Beat, healthLeast) {
		return fmt.Errorf("stuck: the cluster was last looked at %v ago", idle.Round(time.Second))
	}
	if left := time.Until(d.id.Expires()); left <= 0 {
		return fmt.Errorf("certificate expired %v ago; is the founding node reachable?", (-left).Round(time.Second))
	}
	return nil
}

// listenMetrics opens the door for metrics, if the configuration names one.
func (d *Daemon) listenMetrics() error {
	if d.cfg.Metrics == "" {
		return nil
	}
	var err error
	if d.servers.metricsAt, err = net.Listen("tcp", d.cfg.Metrics); err != nil {
		return fmt.Errorf("listen for metrics: %w", err)
	}
	return nil
}

// call counts one call.
func (m *meter) call(what string, err error) {
	res, _ := result(err)
	m.calls.WithLabelValues(what, res).Inc()
}

// guard tells the service manager that all is well, as often as it wants to hear
// that, for as long as it is so.
func (d *Daemon) guard(ctx context.Context, every time.Duration) {
	if every <= 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		if err := d.healthy(); err != nil {
			d.log.Error("not well", "err", err)
		} else if err := notify("WATCHDOG=1"); err != nil {
			d.log.Warn(err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
