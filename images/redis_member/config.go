// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	askTimeout    = 600 * time.Millisecond // for one question to another pod
	askEvery      = 250 * time.Millisecond
	resolveWithin = time.Second // after which another resolver may be asked
	sayEvery      = 10 * time.Second
)

// Options of `server` and `sentinel`. Members and sentinels are called by names; addresses are known once they were resolved.
type options struct {
	command, name, namespace, masterName   string
	domain                                 string
	members, sentinels                     []string
	config, users, data, run, bind         string
	program                                string
	port, sentinelPort                     int
	patience, handover, syncEvery          time.Duration
	quorum, parallelSyncs                  int
	downAfter, failoverTimeout, infoPeriod time.Duration

	addresses map[string]string // by name of a member or sentinel
	passwords map[string][]string
}

// parseOptions reads the flags of a command. Raises a refusal.
func parseOptions(command string, arguments []string) (*options, error) {
	o := &options{command: command, addresses: map[string]string{}}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	members := flags.String("members", "", "the servers: names of their Services, by comma, in the order of their ordinals; or NAME=ADDRESS")
	sentinels := flags.String("sentinels", "", "the sentinels, alike; none: a single server")
	flags.StringVar(&o.name, "name", "", "which of them this is (the host name)")
	flags.StringVar(&o.domain, "domain", "", "what follows the names of Services: a pod's own short name is its own address, not its Service's")
	flags.StringVar(&o.masterName, "master", "redis", "the master's name in the sentinels")
	flags.StringVar(&o.users, "users", "/run/secrets/redis", "directory with a file for each user, which holds the password")
	flags.StringVar(&o.data, "data", "/var/lib/redis", "the volume")
	flags.StringVar(&o.run, "run", "/run/redis", "directory in memory, for the configuration in force")
	flags.StringVar(&o.bind, "bind", "", "the one address to listen on (all)")
	flags.StringVar(&o.program, "program", "redis-server", "the server's program; also valkey-server")
	flags.IntVar(&o.port, "port", 6379, "the servers' port; their evidence port is the next one")
	flags.IntVar(&o.sentinelPort, "sentinel-port", 26379, "the sentinels' port; their evidence port is the next one")
	config := "/etc/redis/redis.conf"
	if command == "sentinel" {
		config = ""
		flags.StringVar(&o.namespace, "namespace", "", "the namespace, of which and of its name a sentinel's id is made")
		flags.IntVar(&o.quorum, "quorum", 0, "sentinels that must hold the master for down (a majority)")
		flags.IntVar(&o.parallelSyncs, "parallel-syncs", 1, "replicas that may synchronise with a new master at the same time")
		flags.DurationVar(&o.downAfter, "down-after", 2500*time.Millisecond, "time without an answer after which a server is down")
		flags.DurationVar(&o.failoverTimeout, "failover-timeout", 10*time.Second, "after twice this time a failover is tried again")
		flags.DurationVar(&o.infoPeriod, "info-period", time.Second, "how often servers are asked for their state")
	} else {
		flags.DurationVar(&o.patience, "patience", 20*time.Second, "how long a missing member is waited for that may hold newer data")
		flags.DurationVar(&o.syncEvery, "sync", time.Second, "how often this program does what `appendfsync everysec` asks for, see sync.go; 0: the server does it")
		flags.DurationVar(&o.handover, "handover", 5*time.Second, "how long a master that ends tries to hand over; 0: not at all")
	}
	flags.StringVar(&o.config, "config", config, "the deployment's own configuration, in which the following settings have no place: see config.go")
	if err := flags.Parse(arguments); err != nil || flags.NArg() > 0 {
		return nil, &refusal{"options of " + command, strings.Join(arguments, " "), "redis-member " + command + " -h", exitUsage}
	}
	if o.name == "" {
		o.name, _ = os.Hostname()
	}
	o.members, o.sentinels = o.names(*members), o.names(*sentinels)
	return o, o.check()
}

// names splits a list and keeps the addresses that are in it.
func (o *options) names(list string) []string {
	names := []string{}
	for _, entry := range strings.FieldsFunc(list, func(sign rune) bool { return sign == ',' }) {
		name, address, given := strings.Cut(entry, "=")
		names = append(names, name)
		if given {
			o.addresses[name] = address
		}
	}
	return names
}

func (o *options) check() error {
	own := o.members
	if o.command == "sentinel" {
		own = o.sentinels
		o.quorum = cmp.Or(o.quorum, majority(len(o.sentinels)))
	}
	switch {
	case !slices.Contains(own, o.name):
		return &refusal{"this " + o.command + " among " + strings.Join(own, ", "), o.name, "set -name to one of them", exitUsage}
	case len(o.members) > 1 && len(o.sentinels) < 3 || len(o.sentinels) > 0 && len(o.sentinels)%2 == 0:
		seen := fmt.Sprintf("%d servers, %d sentinels", len(o.members), len(o.sentinels))
		return &refusal{"one server alone, or an odd number of at least three sentinels", seen, "change -members or -sentinels", exitUsage}
	case o.command == "sentinel" && o.namespace == "":
		return &refusal{"the namespace of a sentinel", "none", "set -namespace", exitUsage}
	}
	return nil
}

// prepare reads what the pod is given and resolves all names, for which it waits. Raises a refusal.
func (o *options) prepare(rights map[string]string) error {
	passwords, err := readPasswords(o.users, rights)
	if err != nil {
		return err
	}
	o.passwords = passwords
	for _, directory := range []string{o.data, o.run} {
		probe, err := os.CreateTemp(directory, ".probe-*")
		if err != nil {
			return &refusal{directory + " is writable for uid " + strconv.Itoa(os.Getuid()), err.Error(), "mount a volume there and set fsGroup", exitConfig}
		}
		probe.Close()
		os.Remove(probe.Name())
	}
	return nil
}

// writeUsers writes the ACL file of a start.
func (o *options) writeUsers(rights map[string]string) error {
	return writeFile(filepath.Join(o.run, "users.acl"), 0o600, strings.NewReader(usersFile(rights, o.passwords)))
}

// resolve looks up a name until it has an address. Afterwards only addresses are used: no failover waits for a resolver.
func resolve(name string, lookup func(context.Context, string) ([]string, error)) string {
	for began, said := time.Now(), time.Now(); ; time.Sleep(askEvery) {
		ctx, cancel := context.WithTimeout(context.Background(), resolveWithin)
		found, err := lookup(ctx, name)
		cancel()
		if len(found) > 0 {
			return found[0]
		}
		if time.Since(said) >= sayEvery {
			said = time.Now()
			say("waiting for an address of %s (%s so far): %v", name, time.Since(began).Round(time.Second), err)
		}
	}
}

func (o *options) resolveAll() {
	for _, name := range slices.Concat(o.members, o.sentinels) {
		if o.addresses[name] == "" {
			full := name
			if o.domain != "" {
				full += "." + strings.Trim(o.domain, ".") + "." // the dot at the end: no search list
			}
			o.addresses[name] = resolve(full, net.DefaultResolver.LookupHost)
		}
	}
}

// at is a member's or sentinel's address with the port that is so many after its own.
func (o *options) at(name string, after int) string {
	port := o.port
	if slices.Contains(o.sentinels, name) {
		port = o.sentinelPort
	}
	return net.JoinHostPort(o.addresses[name], strconv.Itoa(port+after))
}

// nameOf is the member that has an address; empty when none has.
func (o *options) nameOf(address string) string {
	for _, name := range o.members {
		if o.addresses[name] == address {
			return name
		}
	}
	return ""
}

// local is where this pod's own server listens.
func (o *options) local(after int) string {
	port := o.port
	if o.command == "sentinel" {
		port = o.sentinelPort
	}
	return net.JoinHostPort(cmp.Or(o.bind, "127.0.0.1"), strconv.Itoa(port+after))
}

// own is where the evidence port is opened.
func (o *options) own(after int) string {
	_, port, _ := net.SplitHostPort(o.local(after))
	return net.JoinHostPort(o.bind, port)
}

// serverConfig renders redis.conf: the deployment's own, then what depends on the start. A replica begins with a priority of 0.
func (o *options) serverConfig(d Decision) string {
	// A single server, too: it becomes one of several by a switchover, before it is started anew.
	lines := append(o.commonConfig(o.port),
		"masteruser "+replicationUser,
		"masterauth "+quote(o.passwords[replicationUser][0]),
		"replica-announce-ip "+o.addresses[o.name],
		"replica-announce-port "+strconv.Itoa(o.port),
		"replica-priority "+strconv.Itoa(map[bool]int{true: fullPriority}[d.Do == master]),
	)
	if o.syncEvery > 0 {
		lines = append(lines, "appendfsync no")
	}
	if d.Do == replica {
		lines = append(lines, fmt.Sprintf("replicaof %s %d", o.addresses[d.Of], o.port))
	}
	return strings.Join(lines, "\n") + "\n"
}

func (o *options) commonConfig(port int) []string {
	lines := []string{}
	if o.config != "" {
		lines = append(lines, "include "+quote(o.config))
	}
	bind := "* -::*"
	if o.bind != "" {
		bind = o.bind
	}
	return append(lines,
		"bind "+bind,
		"port "+strconv.Itoa(port),
		"protected-mode no", // `default` is off: nobody gets in without a password
		"daemonize no",
		"pidfile \"\"",
		"logfile \"\"",
		"dir "+quote(o.data),
		"aclfile "+quote(filepath.Join(o.run, "users.acl")),
	)
}

// quote writes a value as the servers' configuration reads it.
func quote(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// listen opens a port that the container before this one may still hold for a moment.
func listen(address string) (net.Listener, error) {
	for attempt := 0; ; attempt++ {
		listener, err := net.Listen("tcp", address)
		if err == nil || attempt == 20 || errors.Is(err, os.ErrPermission) {
			return listener, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
