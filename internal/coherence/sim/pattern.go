package sim

import (
	"popcorn/internal/coherence"
	"popcorn/internal/vm"
)

// access is one thing a node's thread does.
type access struct {
	page vm.Page
	how  coherence.Access
	want uint32
}

// phase is what each node does at the same time; the next begins when all are
// done.
type phase map[coherence.NodeID][]access

// Patterns are the names Run knows, in the order it reports them.
var Patterns = []string{"private", "read-shared", "ping-pong", "migratory", "producer-consumer", "false-sharing"}

func build(pattern string, c Config) []phase {
	switch pattern {
	case "private":
		return private(c)
	case "read-shared":
		return readShared(c)
	case "ping-pong":
		return pingPong(c)
	case "migratory":
		return migratory(c)
	case "producer-consumer":
		return producerConsumer(c)
	case "false-sharing":
		return falseSharing(c)
	}
	return nil
}

func node(i, nodes int) coherence.NodeID { return coherence.NodeID(i % nodes) }

// sweep goes over pages once, with read-ahead.
func sweep(first vm.Page, pages int, how coherence.Access, want uint32) []access {
	list := make([]access, pages)
	for i := range list {
		list[i] = access{first + vm.Page(i), how, want}
	}
	return list
}

// private: every node writes memory of its own that nobody ever touched.
func private(c Config) []phase {
	p := phase{}
	for n := 1; n < c.Nodes; n++ {
		p[node(n, c.Nodes)] = sweep(vm.Chunk(n).Page(), c.Pages, coherence.Write, c.MaxRun)
	}
	return []phase{p}
}

// readShared: every node reads what home wrote.
func readShared(c Config) []phase {
	p := phase{}
	for n := 1; n < c.Nodes; n++ {
		p[node(n, c.Nodes)] = sweep(0, c.Pages, coherence.Read, c.MaxRun)
	}
	return []phase{p}
}

// pingPong: two nodes write one word in turn.
func pingPong(c Config) []phase {
	var list []phase
	for i := range c.Rounds {
		list = append(list, phase{node(i%2, c.Nodes): {{page: 0, how: coherence.Write, want: 1}}})
	}
	return list
}

// migratory: the nodes in turn read and change the same pages.
func migratory(c Config) []phase {
	var list []phase
	for i := range min(c.Rounds, 2*c.Nodes) {
		var does []access
		for p := range c.Pages {
			does = append(does, access{vm.Page(p), coherence.Read, c.MaxRun}, access{vm.Page(p), coherence.Write, c.MaxRun})
		}
		list = append(list, phase{node(i, c.Nodes): does})
	}
	return list
}

// producerConsumer: node 1 writes, then all others read.
func producerConsumer(c Config) []phase {
	var list []phase
	for range min(c.Rounds, 10) {
		list = append(list, phase{1: sweep(0, c.Pages, coherence.Write, c.MaxRun)})
		readers := phase{}
		for n := range c.Nodes {
			if n != 1 {
				readers[node(n, c.Nodes)] = sweep(0, c.Pages, coherence.Read, c.MaxRun)
			}
		}
		list = append(list, readers)
	}
	return list
}

// falseSharing: up to eight nodes write words of one page all the time.
func falseSharing(c Config) []phase {
	p := phase{}
	for n := range min(c.Nodes, 8) {
		for range c.Rounds * 1000 {
			p[node(n, c.Nodes)] = append(p[node(n, c.Nodes)], access{0, coherence.Write, 1})
		}
	}
	return []phase{p}
}
