package syscalls

import "fmt"

// Class is what becomes of a call made by a thread that is away. At home every
// call is native, but those of class Everywhere and Popcorn.
type Class uint8

const (
	// Home calls are executed by the thread's shadow at the origin, on the one
	// memory. The default.
	Home Class = iota
	// Local calls are executed by the kernel of the node where the thread is:
	// they touch nothing outside the thread.
	Local
	// Answered calls get their answer from the supervisor, no kernel asked.
	Answered
	// Everywhere calls change the address space: executed at the origin, told
	// to the other nodes.
	Everywhere
	// GoHome calls bring the thread itself home and are executed there.
	GoHome
	// Popcorn calls are Popcorn's own.
	Popcorn
	classEnd
)

var classNames = [classEnd]string{"home", "local", "answered", "everywhere", "go-home", "popcorn"}

var classMeanings = [classEnd]string{
	Home:       "executed at the origin by the thread's shadow, as if the thread had never left",
	Local:      "executed by the kernel of the node where the thread is",
	Answered:   "answered at the node, with what the origin would say",
	Everywhere: "changes the address space: executed at the origin, and every node follows",
	GoHome:     "the thread itself is brought home and makes the call there; placement may send it out again",
	Popcorn:    "Popcorn's own; outside a job the kernel answers ENOSYS",
}

// Valid tells whether c is one of the classes above.
func (c Class) Valid() bool { return c < classEnd }

func (c Class) String() string {
	if !c.Valid() {
		return fmt.Sprintf("class(%d)", uint8(c))
	}
	return classNames[c]
}

// Meaning is the class in one clause, for legends.
func (c Class) Meaning() string {
	if !c.Valid() {
		return ""
	}
	return classMeanings[c]
}

// MarshalText makes a class its name in JSON.
func (c Class) MarshalText() ([]byte, error) {
	if !c.Valid() {
		return nil, fmt.Errorf("marshal class: no class %d", uint8(c))
	}
	return []byte(c.String()), nil
}

// UnmarshalText is the reverse of MarshalText.
func (c *Class) UnmarshalText(text []byte) error {
	for i, name := range classNames {
		if name == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("unmarshal class: no class %q", text)
}

// Classes is every class, in the order of the legend.
func Classes() []Class { return []Class{Home, Everywhere, Answered, Local, GoHome, Popcorn} }
