package guest

import (
	"bytes"
	"testing"
)

// FuzzParseContext: what arrives as a thread's state is refused or comes out of
// Append as it came in; it never makes the parser read past its end.
func FuzzParseContext(f *testing.F) {
	f.Add(make([]byte, regsSize-1))
	f.Add(make([]byte, regsSize))
	f.Add(bytes.Repeat([]byte{0xa5}, regsSize+832))
	f.Add(make([]byte, regsSize+maxXState+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseContext(b)
		if ok := len(b) >= regsSize && len(b) <= regsSize+maxXState; ok != (err == nil) {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		if err != nil {
			return
		}
		if again := c.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		copied := c.Clone()
		c.Result(1)
		if len(c.XState) > 0 {
			c.XState[0]++
		}
		if again := copied.Append(nil); !bytes.Equal(again, b) {
			t.Fatal("a clone changes with its original")
		}
	})
}
