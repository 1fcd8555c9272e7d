// args: 200000
// soak: 20000000

// A Go program of eight busy goroutines that pass numbers through channels.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
)

func main() {
	steps, _ := strconv.Atoi(os.Args[1])
	runtime.GOMAXPROCS(8)
	ring := make([]chan uint64, 8)
	for i := range ring {
		ring[i] = make(chan uint64, 1)
	}
	sums := make([]uint64, 8)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			x := uint64(g + 1)
			for round := range 20 {
				for range steps / 20 {
					x = x*6364136223846793005 + 1442695040888963407
				}
				ring[(g+1)%8] <- x>>32 + uint64(round)
				sums[g] += <-ring[g]
			}
		}()
	}
	wg.Wait()
	for _, s := range sums {
		fmt.Printf("%016x\n", s)
	}
	fmt.Println("EXIT-SUCCESS")
}
