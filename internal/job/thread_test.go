package job

import (
	"errors"
	"testing"
	"time"
)

// TestWhereabouts: a thread moves between the places of the table only, ends
// from everywhere, and never returns from its end.
func TestWhereabouts(t *testing.T) {
	for from := atHome; from <= gone; from++ {
		allowed := map[whereabouts]bool{}
		for _, to := range legal[from] {
			allowed[to] = true
		}
		if allowed[gone] == (from == gone) {
			t.Errorf("from %v a thread may end: %v", from, allowed[gone])
		}
		for to := atHome; to <= gone; to++ {
			if refused := goes(from, to); refused == allowed[to] {
				t.Errorf("from %v to %v: refused %v, in the table %v", from, to, refused, allowed[to])
			}
		}
	}
	if len(whereNames) != int(gone)+1 {
		t.Errorf("%d names for %d places", len(whereNames), gone+1)
	}
}

// goes tells whether a thread is refused to go from one place to another.
func goes(from, to whereabouts) (refused bool) {
	defer func() { refused = recover() != nil }()
	(&thread{where: from}).to(to)
	return
}

// TestEveryPlaceIsLeft: from every place but the end a thread can come home, in
// however many steps.
func TestEveryPlaceIsLeft(t *testing.T) {
	for from := atHome; from < gone; from++ {
		reached := map[whereabouts]bool{from: true}
		for todo := []whereabouts{from}; len(todo) > 0; todo = todo[1:] {
			for _, w := range legal[todo[0]] {
				if !reached[w] {
					reached[w] = true
					todo = append(todo, w)
				}
			}
		}
		if !reached[atHome] {
			t.Errorf("from %v there is no way home", from)
		}
	}
}

// TestFinishMove: who waits for a move is told once, and may start another.
func TestFinishMove(t *testing.T) {
	th := &thread{}
	told := 0
	th.moved = append(th.moved, func(err error) {
		told++
		th.moved = append(th.moved, func(error) { told += 10 })
	})
	th.finishMove(errors.New("refused"))
	if told != 1 {
		t.Errorf("told %d after the first end", told)
	}
	th.finishMove(nil)
	th.finishMove(nil)
	if told != 11 {
		t.Errorf("told %d after the second", told)
	}
}

// TestNags: a thread stays home for the signals that come after many, one soon after
// the other; a pause makes them few again.
func TestNags(t *testing.T) {
	var th thread
	signalAfter := func(away time.Duration) bool {
		th.left = th.signalled + time.Second // the way is long
		th.signalled = th.left + away
		return th.nags()
	}
	for i := range bearable {
		if signalAfter(visit) {
			t.Fatalf("the %dth signal is too many", i+1)
		}
	}
	if !signalAfter(visit) {
		t.Error("none is too many")
	}
	if signalAfter(3 * visit) {
		t.Error("one after a pause is too many")
	}
}
