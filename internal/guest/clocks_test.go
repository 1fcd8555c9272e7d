package guest

import (
	"testing"
	"time"

	"popcorn/internal/sys"
)

func TestReadClocks(t *testing.T) {
	a, err := ReadClocks(sys.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadClocks(sys.Getpid())
	if err != nil || len(a.Boot) != 36 || !a.Same(b) {
		t.Errorf("%+v and %+v are not the same: %v", a, b, err)
	}
}

func TestSameClocks(t *testing.T) {
	here := Clocks{Boot: "b", Offsets: "monotonic 0 0 boottime 0 0", Now: time.Hour}
	for name, c := range map[string]struct {
		change func(*Clocks)
		same   bool
	}{
		"same":              {func(*Clocks) {}, true},
		"on its way":        {func(c *Clocks) { c.Now -= time.Second }, true},
		"another boot":      {func(c *Clocks) { c.Boot = "a" }, false},
		"no boot":           {func(c *Clocks) { c.Boot = "" }, false},
		"another namespace": {func(c *Clocks) { c.Offsets = "monotonic 5 0 boottime 0 0" }, false},
		"no namespaces":     {func(c *Clocks) { c.Offsets = "" }, false},
		"a copy, earlier":   {func(c *Clocks) { c.Now -= time.Minute }, false},
		"a copy, later":     {func(c *Clocks) { c.Now += time.Minute }, false},
	} {
		there := here
		if c.change(&there); there.Same(here) != c.same {
			t.Errorf("%s: same is not %v", name, c.same)
		}
	}
	if (Clocks{}).Same(Clocks{}) {
		t.Error("nothing is the same as nothing")
	}
}

func TestMachineAgain(t *testing.T) {
	want := Machine{Clocks: Clocks{Boot: "b", Now: 5}, CPU: someCPU(), VDSO: kernelVDSO(t)}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeMachine(b)
	if err != nil || got.Clocks != want.Clocks || got.CPU.RunsOn(want.CPU) != nil || string(got.VDSO) != string(want.VDSO) {
		t.Errorf("got %+v, %v", got, err)
	}
	want.VDSO = make([]byte, maxVDSO+1)
	if b, _ = want.Encode(); err == nil {
		if _, err := DecodeMachine(b); err == nil {
			t.Error("a vDSO of any size is accepted")
		}
	}
	for _, bad := range []string{"", "[]", `{"CPU":{"Size":-1}}`, `{"CPU":{"Size":1000000}}`} {
		if m, err := DecodeMachine([]byte(bad)); err == nil {
			t.Errorf("%q: accepted as %+v", bad, m)
		}
	}
}

// FuzzDecodeMachine: what arrives is refused or small.
func FuzzDecodeMachine(f *testing.F) {
	b, _ := Machine{CPU: someCPU()}.Encode()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMachine(b)
		if err == nil && (len(m.VDSO) > maxVDSO || m.CPU.Size > maxXState) {
			t.Fatalf("accepted %d bytes of code, %d of state", len(m.VDSO), m.CPU.Size)
		}
		m.CPU.RunsOn(someCPU())
	})
}
