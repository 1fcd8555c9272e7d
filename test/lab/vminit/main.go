// Command vminit is process 1 of the lab's virtual machines. All of it is in
// package lab, which takes the role when the program is called /init.
package main

import (
	"fmt"
	"os"

	_ "popcorn/test/lab"
)

func main() {
	fmt.Fprintln(os.Stderr, "vminit: runs as /init of a virtual machine only")
	os.Exit(2)
}
