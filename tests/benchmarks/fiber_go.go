// The rows of fiber_benchmark.cc with goroutines: fiber_go ROW prints one figure, in the row's unit. Run it with GOMAXPROCS=1.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"syscall"
	"time"
)

const (
	queueLength = 1024
	leaves      = 1_000_000
	children    = 10
)

// Calls work with ever more to do until it takes long enough, which also warms up; the nanoseconds for one unit of it.
func measure(least int, work func(count int)) float64 {
	for count := least; ; count *= 2 {
		start := time.Now()
		work(count)
		if took := time.Since(start); took >= 200*time.Millisecond {
			return float64(took.Nanoseconds()) / float64(count)
		}
	}
}

func event(count int) {
	ping, pong := make(chan struct{}), make(chan struct{})
	go func() {
		for range ping {
			pong <- struct{}{}
		}
	}()
	for i := 0; i < count/2; i++ {
		ping <- struct{}{}
		<-pong
	}
	close(ping)
}

func queue(count int) {
	items := make(chan int64, queueLength)
	go func() {
		for i := 0; i < count; i++ {
			items <- int64(i)
		}
	}()
	var sum int64
	for i := 0; i < count; i++ {
		sum += <-items
	}
	if sum != int64(count)*int64(count-1)/2 {
		panic("items were lost")
	}
}

// A million pending at a time, added, and then cancelled in random order.
func timers() float64 {
	const count = 1_000_000
	random := rand.New(rand.NewSource(1))
	after := make([]time.Duration, count)
	for i := range after {
		after[i] = time.Duration((10 + 990*random.Float64()) * float64(time.Second))
	}
	order := random.Perm(count)
	pending := make([]*time.Timer, count)
	return measure(count, func(total int) {
		for done := 0; done < total; done += count {
			for i := range pending {
				pending[i] = time.AfterFunc(after[i], func() {})
			}
			for _, i := range order {
				pending[i].Stop()
			}
		}
	})
}

func skynet(result chan int64, first int64, size int64) {
	if size == 1 {
		result <- first
		return
	}
	results := make(chan int64, children)
	size /= children
	for i := int64(0); i < children; i++ {
		go skynet(results, first+i*size, size)
	}
	var sum int64
	for i := 0; i < children; i++ {
		sum += <-results
	}
	result <- sum
}

func runSkynet() {
	result := make(chan int64, 1)
	go skynet(result, 0, leaves)
	if <-result != leaves*(leaves-1)/2 {
		panic("wrong sum")
	}
}

func figure(row string) (float64, error) {
	switch row {
	case "fiber.event":
		return measure(1000, event), nil
	case "fiber.queue":
		return measure(100_000, queue), nil
	case "fiber.timers":
		return timers(), nil
	case "fiber.skynet":
		runSkynet() // touches the memory for the first time
		start := time.Now()
		runSkynet()
		return time.Since(start).Seconds(), nil
	case "fiber.skynet_mem":
		runSkynet()
		var usage syscall.Rusage
		err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		return float64(usage.Maxrss) / 1024, err
	}
	return 0, fmt.Errorf("no row %q", row)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: fiber_go ROW")
		os.Exit(2)
	}
	value, err := figure(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "fiber_go:", err)
		os.Exit(1)
	}
	fmt.Println(value)
}
