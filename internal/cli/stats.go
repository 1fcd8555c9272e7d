package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// runStats is the part of a --stats document that demo tells.
type runStats struct {
	Nodes []struct {
		NID         int     `json:"nid"`
		Name        string  `json:"name"`
		CPUSeconds  float64 `json:"cpu_seconds"`
		ThreadsPeak int     `json:"threads_peak"`
	} `json:"nodes"`
	Migrations struct {
		Count int64 `json:"count"`
	} `json:"migrations"`
	Pages struct {
		Sent        int64 `json:"sent"`
		Received    int64 `json:"received"`
		Prefetched  int64 `json:"prefetched"`
		Invalidated int64 `json:"invalidated"`
	} `json:"pages"`
	Syscalls map[string]struct {
		Local     int64 `json:"local"`
		Answered  int64 `json:"answered"`
		Forwarded int64 `json:"forwarded"`
	} `json:"syscalls"`
	WentHome map[string]int64 `json:"went_home"`
}

func (s runStats) print(w io.Writer) error {
	rows := [][]string{{"NODE", "NAME", "CPU SECONDS", "THREADS AT MOST"}}
	for _, n := range s.Nodes {
		rows = append(rows, []string{strconv.Itoa(n.NID), dash(n.Name), fmt.Sprintf("%.2f", n.CPUSeconds), strconv.Itoa(n.ThreadsPeak)})
	}
	var text strings.Builder
	if err := table(&text, rows); err != nil {
		return err
	}
	fmt.Fprintf(&text, "%d migrations; %d pages sent between nodes, %d of them before they were asked for, %d taken away\n",
		s.Migrations.Count, s.Pages.Sent, s.Pages.Prefetched, s.Pages.Invalidated)
	var local, answered, forwarded int64
	for _, c := range s.Syscalls {
		local, answered, forwarded = local+c.Local, answered+c.Answered, forwarded+c.Forwarded
	}
	fmt.Fprintf(&text, "system calls of threads away: %d made there, %d answered there, %d forwarded home\n", local, answered, forwarded)
	for _, reason := range slices.Sorted(maps.Keys(s.WentHome)) {
		fmt.Fprintf(&text, "went home %d times: %s\n", s.WentHome[reason], reason)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
