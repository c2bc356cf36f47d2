// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A quiet logger: the client would tell every refused connection on the terminal.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }

// A connection to one server or sentinel, which comes back by itself.
type connection struct {
	client  *redis.Client
	timeout time.Duration
}

// connect prepares a connection as the user admin; nothing is sent yet.
func (o *options) connect(address string, timeout time.Duration) connection {
	return connection{redis.NewClient(&redis.Options{
		Addr: address, Username: adminUser, Password: o.passwords[adminUser][0],
		Protocol: 2, DisableIdentity: true, PoolSize: 2, MaxRetries: 1, MinRetryBackoff: -1, MaxRetryBackoff: -1,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true,
	}), timeout}
}

// do sends one command and gives its answer.
func (c connection) do(words ...any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	return c.client.Do(ctx, words...).Result()
}

// info is an INFO as fields; those of several sections have different names.
func (c connection) info(sections ...any) (map[string]string, error) {
	answer, err := c.do(append([]any{"INFO"}, sections...)...)
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	return parseInfo(text), nil
}

// masterView is what a sentinel says of the master, as fields of SENTINEL MASTER. From the moment that a replica was promoted these have the
// new epoch, but the old address until all other replicas follow; GET-MASTER-ADDR-BY-NAME has the new one at once.
func (c connection) masterView(name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	pipeline := c.client.Pipeline()
	state := pipeline.Do(ctx, "SENTINEL", "MASTER", name)
	address := pipeline.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
	if _, err := pipeline.Exec(ctx); err != nil {
		return nil, err
	}
	fields := pairs(state.Val())
	if words, _ := address.Val().([]any); len(words) == 2 {
		fields["ip"], _ = words[0].(string)
	}
	return fields, nil
}

// alive tells whether a server answers at all: LOADING, BUSY or MASTERDOWN are answers.
func (c connection) alive() error {
	_, err := c.do("PING")
	if _, answered := err.(redis.Error); answered {
		return nil
	}
	return err
}

func parseInfo(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[key] = value
		}
	}
	return fields
}

// pairs makes a map of an answer that lists names and values.
func pairs(answer any) map[string]string {
	fields := map[string]string{}
	list, _ := answer.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		key, _ := list[i].(string)
		fields[key], _ = list[i+1].(string)
	}
	return fields
}

func number(text string) int64 {
	value, _ := strconv.ParseInt(text, 10, 64)
	return value
}

// The sentinels that this pod asks, each over its own connection.
type sentinels struct {
	o           *options
	connections map[string]connection
}

func newSentinels(o *options, names []string) *sentinels {
	s := &sentinels{o, map[string]connection{}}
	for _, name := range names {
		s.connections[name] = o.connect(o.at(name, 0), askTimeout)
	}
	return s
}

// views asks all at the same time; who does not answer is left out.
func (s *sentinels) views() []View {
	found := []View{}
	lock, group := sync.Mutex{}, sync.WaitGroup{}
	for _, connection := range s.connections {
		group.Go(func() {
			fields, err := connection.masterView(s.o.masterName)
			if _, answered := err.(redis.Error); err != nil && !answered {
				return
			}
			lock.Lock()
			defer lock.Unlock()
			found = append(found, s.o.viewOf(fields))
		})
	}
	group.Wait()
	return found
}

// viewOf reads the fields of SENTINEL MASTER; without any the sentinel knows no such master.
func (o *options) viewOf(fields map[string]string) View {
	flags := strings.Split(fields["flags"], ",")
	has := func(flag string) bool {
		for _, one := range flags {
			if one == flag {
				return true
			}
		}
		return false
	}
	// Half of the time is left for a server to start and for this sentinel to connect again, once a second.
	silent := number(fields["last-ok-ping-reply"]) > number(fields["down-after-milliseconds"])/2
	return View{o.nameOf(fields["ip"]), number(fields["config-epoch"]), has("o_down") || silent, has("failover_in_progress")}
}
