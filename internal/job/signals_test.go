package job

import "testing"

// TestStopsToldOfLate has threads tell of stops of the whole process when they are over.
func TestStopsToldOfLate(t *testing.T) {
	type told struct{ again, begins bool }
	for _, c := range []struct {
		name  string
		tells string // by thread: A, B of a stop, a, b of its end
		want  []told // of each stop told of
		on    bool
	}{
		{"one thread", "AA", []told{{true, false}, {false, true}}, true},
		{"two", "ABAB", []told{{true, false}, {true, false}, {false, true}, {}}, true},
		{"over before it is told of again", "Aa", []told{{true, false}}, false},
		{"late with the second answer", "ABAaB", []told{{true, false}, {true, false}, {false, true}, {true, false}}, false},
		{"late with both", "AAaBb", []told{{true, false}, {false, true}, {true, false}}, false},
		{"another stop", "AAabBB", []told{{true, false}, {false, true}, {true, false}, {false, true}}, true},
		{"an end told of late", "AAaBbBB", []told{{true, false}, {false, true}, {true, false}, {true, false}, {false, true}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s groupStop
			threads := map[rune]*thread{'A': {}, 'B': {}}
			i := 0
			for _, r := range c.tells {
				th := threads[r]
				if th == nil {
					s.over()
					continue
				}
				again, begins := s.told(th)
				if got := (told{again, begins}); got != c.want[i] {
					t.Errorf("stop %d of %s: %+v, want %+v", i, c.tells, got, c.want[i])
				}
				i++
			}
			if i != len(c.want) || s.on != c.on {
				t.Errorf("%d answers, stopped %v; want %d, %v", i, s.on, len(c.want), c.on)
			}
		})
	}
}
