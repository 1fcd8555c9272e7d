package sys

import "testing"

func TestStatFields(t *testing.T) {
	f := statFields("4711 (a) name ) S 7 8 9 0")
	if len(f) != 8 || f[3] != "S" || f[4] != "7" {
		t.Errorf("got %q", f)
	}
	if statFields("nothing") != nil {
		t.Error("fields of no line")
	}
}
