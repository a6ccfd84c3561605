// The load of bench_raft.c for etcd, over its own client: the same clients, connections and values,
// all of it sent to the leader.
//
//	etcd_load put ENDPOINT CLIENTS CONNECTIONS SECONDS
//	etcd_load lose PID ENDPOINT..     kills a leader; time until another member has taken a write
package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/clientv3"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

func put(endpoint string, clients, connections int, seconds float64) {
	var conns []*clientv3.Client
	var group sync.WaitGroup
	var key, errors int64
	value := string(make([]byte, 256))
	taken := make([][]float64, clients)

	for i := 0; i < connections; i++ {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
		check(err)
		_, err = c.Put(context.Background(), "warm", value)
		check(err)
		conns = append(conns, c)
	}
	begin := time.Now()
	stop := begin.Add(time.Duration(seconds * float64(time.Second)))
	for i := 0; i < clients; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			c := conns[i%connections]
			for time.Now().Before(stop) {
				started := time.Now()
				_, err := c.Put(context.Background(), fmt.Sprintf("%08d", atomic.AddInt64(&key, 1)), value)
				if err != nil {
					atomic.AddInt64(&errors, 1)
				}
				taken[i] = append(taken[i], time.Since(started).Seconds()*1000)
			}
		}(i)
	}
	group.Wait()
	elapsed := time.Since(begin).Seconds()
	var all []float64
	for _, t := range taken {
		all = append(all, t...)
	}
	sort.Float64s(all)
	fmt.Printf("etcd %d clients: %.0f writes/s  p50 %.2f ms  p99 %.2f ms  max %.1f ms  errors %d\n", clients,
		float64(len(all))/elapsed, all[len(all)/2], all[len(all)*99/100], all[len(all)-1], errors)
}

func lose(pid int, others []string) {
	client := http.Client{Timeout: 250 * time.Millisecond}
	body := []byte(`{"key":"Zg==","value":"eA=="}`)
	begin := time.Now()

	check(syscall.Kill(pid, syscall.SIGKILL))
	for {
		for _, endpoint := range others {
			answer, err := client.Post(endpoint+"/v3/kv/put", "application/json", bytes.NewReader(body))
			if err != nil {
				continue
			}
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				fmt.Println(time.Since(begin).Milliseconds())
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func main() {
	if len(os.Args) == 6 && os.Args[1] == "put" {
		seconds, err := strconv.ParseFloat(os.Args[5], 64)
		check(err)
		put(os.Args[2], number(os.Args[3]), number(os.Args[4]), seconds)
	} else if len(os.Args) > 3 && os.Args[1] == "lose" {
		lose(number(os.Args[2]), os.Args[3:])
	} else {
		fmt.Fprintln(os.Stderr, "usage: see the head of the source")
		os.Exit(2)
	}
}
