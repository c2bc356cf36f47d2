// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// threeMembers are the options of the first server, or of the first sentinel, of a set of three and three.
func threeMembers(t *testing.T, command string, more ...string) *options {
	t.Helper()
	flags := []string{"-members", "redis-0=10.0.0.1,redis-1=10.0.0.2,redis-2=10.0.0.3", "-sentinels", "sentinel-0=10.0.0.11,sentinel-1=10.0.0.12,sentinel-2=10.0.0.13",
		"-name", map[string]string{"server": "redis-0", "sentinel": "sentinel-0"}[command]}
	if command == "sentinel" {
		flags = append(flags, "-namespace", "shop")
	}
	o, err := parseOptions(command, append(flags, more...))
	if err != nil {
		t.Fatal(err)
	}
	o.passwords = map[string][]string{}
	for user := range serverRights {
		o.passwords[user] = []string{user + `-"\pass`}
	}
	return o
}

func TestARecordFollowsTheServer(t *testing.T) {
	at := time.UnixMilli(5000)
	base := Record{Set: "s", Epoch: 3, Master: b, HeardEpoch: 3, HeardMaster: b, Offset: 100, File: 10}
	link := State{Role: replica, Master: b, Link: true, Offset: 200, ReplID: "r"}
	for name, one := range map[string]struct {
		before   Record
		now      State
		view     View
		expected Record
	}{
		"a replica moves on": {base, link, View{Master: b, Epoch: 3},
			Record{"s", 3, b, replica, 3, b, "r", 200, 20, false, 5000}},
		"it follows a new master": {base, State{Role: replica, Master: c, Link: true, Offset: 300, ReplID: "q"}, View{Master: c, Epoch: 4},
			Record{"s", 4, c, replica, 4, c, "q", 300, 20, false, 5000}},
		"its master is not (yet) the sentinels'": {base, State{Role: replica, Master: c, Link: true, Offset: 300}, View{Master: b, Epoch: 3},
			Record{"s", 3, b, replica, 3, b, "", 100, 10, false, 0}},
		"the link is down, a new master is heard of": {base, State{Role: replica, Master: b, Offset: 300}, View{Master: c, Epoch: 4},
			Record{"s", 3, b, replica, 4, c, "", 100, 10, false, 0}},
		"it receives all data: the volume holds the old ones": {base, State{Role: replica, Master: b, Receiving: true}, View{Master: b, Epoch: 3},
			Record{"s", 3, b, replica, 3, b, "", 100, 10, true, 0}},
		"they are there, but the file is still written": {Record{Unsettled: true}, State{Role: replica, Master: b, Link: true, Rewriting: true, Offset: 9}, View{Master: b, Epoch: 3},
			Record{"", 0, "", replica, 3, b, "", 0, 0, true, 0}},
		"the file is written": {Record{Unsettled: true}, State{Role: replica, Master: b, Link: true, Offset: 9}, View{Master: b, Epoch: 3},
			Record{"", 3, b, replica, 3, b, "", 9, 20, false, 5000}},
		"promoted": {base, State{Role: master, Offset: 300}, View{Master: a, Epoch: 4},
			Record{"s", 4, a, master, 4, a, "", 300, 20, false, 5000}},
		"promoted, the sentinels do not answer": {base, State{Role: master, Offset: 300}, View{},
			Record{"s", 3, b, master, 3, b, "", 100, 10, false, 0}},
		"promoted before its file is written": {Record{Unsettled: true, Master: b}, State{Role: master, Rewriting: true, Offset: 300}, View{Master: a, Epoch: 4},
			Record{"", 4, a, master, 4, a, "", 300, 20, true, 5000}},
		"an old master that does not know": {Record{Epoch: 3, Master: a, Offset: 100}, State{Role: master, Offset: 300}, View{Master: b, Epoch: 4},
			Record{"", 3, a, master, 4, b, "", 300, 20, false, 5000}},
		"the first master of a set": {Record{}, State{Role: master, Offset: 5}, View{},
			Record{"", 0, a, master, 0, "", "", 5, 20, false, 5000}},
	} {
		t.Run(name, func(t *testing.T) {
			if found := one.before.follow(a, one.now, one.view, 20, at); found != one.expected {
				t.Errorf("expected %+v\nseen     %+v", one.expected, found)
			}
		})
	}
}

func TestAVoteOutlivesItsProcess(t *testing.T) {
	o := threeMembers(t, "server")
	o.data = t.TempDir()
	begin := func() *server {
		s := &server{o: o, told: &board{}, voted: loadVote(o.data)}
		s.told.evidence = Evidence{Name: o.name, Phase: waiting, Data: true, Record: Record{Epoch: 3, Offset: 5}, Vote: s.voted}
		return s
	}
	newer := Evidence{Name: c, Phase: waiting, Data: true, Record: Record{Epoch: 4, Offset: 9, Master: c}}
	// The candidate is out of sight, the last master is there: without its vote this member would choose that one at once.
	situation := func(s *server, unseen time.Duration) Situation {
		return Situation{Me: a, Members: o.members, Sentinels: 3, Seen: map[string]Evidence{a: s.told.read(), c: newer},
			Waited: patience / 2, Patience: patience, Unseen: unseen, Now: 1}
	}
	if d := decide(situation(begin(), 0)); d.Choice != c {
		t.Errorf("without a vote: %+v", d)
	}
	begin().vote(Vote{b, 7})
	if d := decide(situation(begin(), 0)); d.Do != wait || d.Choice != b || d.Stand != 7 {
		t.Errorf("a vote is given twice: %+v", d)
	}
	if d := decide(situation(begin(), patience)); d.Choice != c {
		t.Errorf("a vote is kept for ever: %+v", d)
	}
	begin().vote(Vote{})
	if kept := loadVote(o.data); kept != (Vote{}) {
		t.Errorf("a vote that was taken back is there: %+v", kept)
	}
	unwritable := begin()
	unwritable.o.data = filepath.Join(o.data, "missing")
	if unwritable.vote(Vote{b, 7}); unwritable.told.read().Vote != (Vote{}) {
		t.Error("a vote is given that is not written")
	}
}

func TestWhenARecordIsWritten(t *testing.T) {
	old := Record{Epoch: 3, Master: a, Role: master, Offset: 5, File: 7, At: 10_000}
	for name, one := range map[string]struct {
		change  func(*Record)
		written bool
	}{
		"nothing new":                  {func(r *Record) { r.At += 500 }, false},
		"another epoch":                {func(r *Record) { r.Epoch++ }, true},
		"not settled":                  {func(r *Record) { r.Unsettled = true }, true},
		"writes, a second later":       {func(r *Record) { r.File, r.Offset, r.At = 9, 8, r.At+1000 }, true},
		"writes, right after the last": {func(r *Record) { r.File, r.Offset, r.At = 9, 8, r.At+250 }, false},
		"pings":                        {func(r *Record) { r.Offset, r.At = 8, r.At+5000 }, false},
		"pings for long":               {func(r *Record) { r.Offset, r.At = 8, r.At+10_000 }, true},
	} {
		record := old
		one.change(&record)
		if record.newer(old) != one.written {
			t.Errorf("%s: written is %v expected", name, one.written)
		}
	}
}

func TestARecordIsKept(t *testing.T) {
	directory := t.TempDir()
	if found := loadRecord(directory); found != (Record{}) || hasData(directory) {
		t.Errorf("nothing expected, seen %+v", found)
	}
	record := Record{"s", 3, a, master, 4, b, "r", 5, 6, true, 7}
	if err := record.save(directory); err != nil {
		t.Fatal(err)
	}
	if found := loadRecord(directory); found != record {
		t.Errorf("%+v expected, seen %+v", record, found)
	}
	os.WriteFile(filepath.Join(directory, recordFile), []byte("{half"), 0o600)
	if found := loadRecord(directory); found != (Record{}) {
		t.Errorf("what cannot be read is nothing, seen %+v", found)
	}
	os.Mkdir(filepath.Join(directory, "appendonlydir"), 0o700)
	os.WriteFile(filepath.Join(directory, "appendonlydir", "appendonly.aof.manifest"), nil, 0o600)
	os.WriteFile(filepath.Join(directory, "appendonlydir", "appendonly.aof.1.incr.aof"), []byte("12345"), 0o600)
	if !hasData(directory) || fileSize(directory) != 5 {
		t.Errorf("data of 5 bytes expected, seen %v %d", hasData(directory), fileSize(directory))
	}
}

func TestTheServersConfiguration(t *testing.T) {
	o := threeMembers(t, "server")
	lines := strings.Split(o.serverConfig(Decision{Do: replica, Of: "redis-1"}), "\n")
	for _, line := range []string{`include "/etc/redis/redis.conf"`, "replicaof 10.0.0.2 6379", "replica-priority 0", "replica-announce-ip 10.0.0.1",
		`masterauth "replication-\"\\pass"`, "masteruser replication", `aclfile "/run/redis/users.acl"`, "bind * -::*"} {
		if !slices.Contains(lines, line) {
			t.Errorf("%s expected in %q", line, lines)
		}
	}
	if config := o.serverConfig(Decision{Do: master}); strings.Contains(config, "replicaof") || !strings.Contains(config, "replica-priority 100") {
		t.Errorf("a master's expected, seen %s", config)
	}
}

func TestWhoBringsTheFileOntoTheDisk(t *testing.T) {
	for config, ours := range map[string]bool{"": true, "appendfsync everysec\n": true, "appendfsync always\n": false, "appendfsync everysec\nAppendFsync \"no\"": false} {
		if everySecond(config) != ours {
			t.Errorf("%q: %v expected", config, ours)
		}
	}
	if config := threeMembers(t, "server").serverConfig(Decision{Do: master}); !strings.Contains(config, "\nappendfsync no\n") {
		t.Errorf("the server is to leave it to this program, seen %s", config)
	}
	if config := threeMembers(t, "server", "-sync", "0").serverConfig(Decision{Do: master}); strings.Contains(config, "appendfsync") {
		t.Errorf("the server is to do it, seen %s", config)
	}
	directory := filepath.Join(t.TempDir(), "appendonlydir")
	os.Mkdir(directory, 0o700)
	syncer := &syncer{directory: filepath.Dir(directory)}
	for step, content := range map[int]string{1: "a", 2: "a"} {
		os.WriteFile(filepath.Join(directory, "appendonly.aof.1.incr.aof"), []byte(content), 0o600)
		os.Chtimes(filepath.Join(directory, "appendonly.aof.1.incr.aof"), time.Time{}, time.UnixMilli(int64(step)))
		first, err := syncer.sync()
		again, _ := syncer.sync()
		if first != 1 || again != 0 || err != nil {
			t.Errorf("once for each change expected, seen %d and %d: %v", first, again, err)
		}
	}
}

func TestUsers(t *testing.T) {
	directory := t.TempDir()
	for user := range serverRights {
		os.WriteFile(filepath.Join(directory, user), []byte("new-"+user+"\nold\n"), 0o600)
	}
	passwords, err := readPasswords(directory, serverRights)
	if err != nil || passwords["app"][0] != "new-app" || len(passwords["app"]) != 2 {
		t.Fatal(err, passwords)
	}
	file := usersFile(serverRights, passwords)
	hash := "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4" // printf old | sha256sum
	if strings.Contains(file, "new-app") || strings.Count(file, "#"+hash) != len(serverRights) {
		t.Errorf("hashes alone expected, seen %s", file)
	}
	if strings.Count(file, " #") != 2*len(serverRights) || !strings.HasPrefix(file, "user default off ~* &* +@all\n") {
		t.Errorf("two passwords each expected, seen %s", file)
	}
	os.Remove(filepath.Join(directory, "app"))
	var known *refusal
	if _, err := readPasswords(directory, serverRights); !errors.As(err, &known) || known.status != exitConfig || !strings.Contains(err.Error(), "app") {
		t.Errorf("a refusal expected, seen %v", err)
	}
}

func TestAnswersOfServers(t *testing.T) {
	o := threeMembers(t, "server")
	// recorded: INFO of Redis 7.0.15
	text := "# Replication\r\nrole:slave\r\nmaster_host:10.0.0.3\r\nmaster_link_status:up\r\nmaster_sync_in_progress:0\r\nslave_repl_offset:1260\r\n" +
		"master_replid:abc\r\nmaster_repl_offset:1260\r\n# Persistence\r\nloading:0\r\nasync_loading:0\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:1\r\n"
	state, serves := o.stateOf(parseInfo(text))
	if expected := (State{replica, c, true, false, true, "abc", 1260}); state != expected || !serves {
		t.Errorf("%+v expected, seen %+v", expected, state)
	}
	if _, serves := o.stateOf(parseInfo(strings.Replace(text, "loading:0", "loading:1", 1))); serves {
		t.Error("a server that loads does not serve")
	}
	offsets := onlineReplicas(parseInfo("connected_slaves:2\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=1274,lag=1\r\n" +
		"slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n"))
	if !slices.Equal(offsets, []int64{1274}) {
		t.Errorf("one online replica expected, seen %v", offsets)
	}
	view := o.viewOf(map[string]string{"ip": "10.0.0.2", "config-epoch": "5", "flags": "s_down,o_down,master,failover_in_progress"})
	if expected := (View{b, 5, true, true}); view != expected {
		t.Errorf("%+v expected, seen %+v", expected, view)
	}
	for age, down := range map[string]bool{"1000": false, "1300": true} {
		view := o.viewOf(map[string]string{"ip": "10.0.0.2", "flags": "master", "last-ok-ping-reply": age, "down-after-milliseconds": "2500"})
		if view.Down != down {
			t.Errorf("%s ms without an answer: down is %v", age, view.Down)
		}
	}
	if view := o.viewOf(map[string]string{"ip": "10.9.9.9", "flags": "s_down,master"}); view != (View{}) {
		t.Errorf("a stranger is nobody, seen %+v", view)
	}
}

func TestWhatASentinelRemembers(t *testing.T) {
	o := threeMembers(t, "sentinel")
	written := Memory{Master: b, Config: 4, Current: 6, Led: 5}
	config := o.sentinelConfig(written, o.members, o.sentinels)
	if found := o.memoryOf(config); found != written {
		t.Errorf("%+v expected, seen %+v", written, found)
	}
	for _, line := range []string{"sentinel known-replica redis 10.0.0.1 6379", "sentinel known-replica redis 10.0.0.3 6379",
		"sentinel known-sentinel redis 10.0.0.12 26379 " + o.idOf("sentinel-1"), "sentinel monitor redis 10.0.0.2 6379 2", "sentinel down-after-milliseconds redis 2500"} {
		if !strings.Contains(config, line+"\n") {
			t.Errorf("%s expected in %s", line, config)
		}
	}
	if strings.Contains(config, "known-replica redis 10.0.0.2") || len(o.idOf("sentinel-1")) != 40 || o.idOf("sentinel-1") == o.idOf("sentinel-2") {
		t.Error("the master is no replica, and every sentinel has an id of its own")
	}
	if found := o.memoryOf(strings.ReplaceAll(config, "10.0.0.2", "10.9.9.9")); found.Master != "" {
		t.Errorf("addresses of before are worth nothing, seen %+v", found)
	}
}

func TestWhomASentinelKnowsFromItsStart(t *testing.T) {
	o := threeMembers(t, "sentinel")
	config := o.sentinelConfig(Memory{Master: b}, o.members, o.sentinels)
	forgot := strings.ReplaceAll(strings.ReplaceAll(config, "sentinel known-replica redis 10.0.0.3 6379\n", ""),
		"sentinel known-sentinel redis 10.0.0.12 26379 "+o.idOf("sentinel-1")+"\n", "")
	others := slices.DeleteFunc(slices.Clone(o.sentinels), func(name string) bool { return name == o.name })
	for what, one := range map[string]struct {
		content            string
		members, sentinels []string
	}{
		"the first time":              {"", o.members, o.sentinels},
		"again":                       {config, o.members, others},
		"again, with some forgotten":  {forgot, []string{a, b}, slices.DeleteFunc(slices.Clone(others), func(name string) bool { return name == "sentinel-1" })},
		"for other members":           {strings.Replace(forgot, o.madeFor(), o.madeFor()+" more", 1), o.members, o.sentinels},
		"after all addresses changed": {strings.ReplaceAll(forgot, " 10.0.0.", " 10.9.9."), o.members, o.sentinels},
	} {
		members, sentinels := o.knownOf(one.content)
		if !slices.Equal(members, one.members) || !slices.Equal(sentinels, one.sentinels) {
			t.Errorf("%s: %v and %v expected, seen %v and %v", what, one.members, one.sentinels, members, sentinels)
		}
	}
}

func TestWithWhichKnowledgeASentinelStarts(t *testing.T) {
	says := func(name string, epoch int64) View { return View{Master: name, Epoch: epoch} }
	own := Memory{Master: a, Config: 3, Current: 5, Led: 4}
	runs := serves(told(b, 3, 9, b), master, true)
	for name, one := range map[string]struct {
		own       Memory
		situation Situation
		expected  Memory
		enough    bool
	}{
		"its own is enough":                   {own, seen(), own, true},
		"another one knows better":            {own, seen().views(says(b, 7)), Memory{b, 7, 7, 4}, true},
		"another one knows less":              {own, seen().views(says(b, 2), says(b, 2)), own, true},
		"lost: two others":                    {Memory{}, seen().views(says(b, 7), says(a, 6)), Memory{b, 7, 7, 7}, true},
		"lost: one other is too few":          {Memory{}, seen().views(says(b, 7), View{}), Memory{b, 7, 7, 0}, false},
		"lost: the servers show it":           {Memory{}, seen(told(a, 3, 5, b), runs), Memory{b, 3, 3, 3}, true},
		"lost: one server is too few":         {Memory{}, seen(runs), Memory{}, false},
		"lost: no master runs yet":            {Memory{}, seen(told(a, 3, 5, b), told(b, 3, 5, b)), Memory{}, false},
		"lost: the one that runs is not last": {Memory{}, seen(told(a, 4, 5, a), runs), Memory{}, false},
		"lost: a sentinel knows a newer one":  {Memory{}, seen(told(a, 3, 5, b), runs).views(says(c, 4)), Memory{c, 4, 4, 0}, false},
		"a new set":                           {Memory{}, seen(empty(b), serves(empty(a), master, true), empty(c)), Memory{Master: a}, true},
		"a new set that has not decided":      {Memory{}, seen(empty(b), empty(a), empty(c)), Memory{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			found, why, enough := remember(one.own, one.situation)
			if found != one.expected || enough != one.enough || why == "" {
				t.Errorf("%+v %v expected, seen %+v %v: %s", one.expected, one.enough, found, enough, why)
			}
		})
	}
}

func TestANameIsWaitedFor(t *testing.T) {
	asked := 0
	found := resolve("redis-0", func(context.Context, string) ([]string, error) {
		asked++
		if asked < 3 {
			return nil, &net.DNSError{Err: "no such host"}
		}
		return []string{"10.0.0.1", "10.0.0.2"}, nil
	})
	if found != "10.0.0.1" || asked != 3 {
		t.Errorf("the first address at the third question expected, seen %s after %d", found, asked)
	}
}

func TestEvidenceIsServed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	board := &board{evidence: with(told(b, 3, 9, a), func(e *Evidence) { e.Decision = "because" })}
	if err := serve(address, board, func() error { return nil }, board.read().ready); err != nil {
		t.Fatal(err)
	}
	gatherer := newGatherer(map[string]string{b: address, c: address, "redis-3": "127.0.0.1:1"})
	if all := gatherer.all(); len(all) != 1 || all[b] != board.read() {
		t.Errorf("one answer expected, from the right name, seen %+v", all)
	}
	_, port, _ := net.SplitHostPort(address)
	if err := run([]string{"live", "-port", port}); err != nil {
		t.Error(err)
	}
	if err := run([]string{"ready", "-port", port}); err == nil || !strings.Contains(err.Error(), "waiting: because") {
		t.Errorf("the reason expected, seen %v", err)
	}
	if err := run([]string{"live", "-port", "1"}); err == nil {
		t.Error("nobody listens: an error expected")
	}
}

func TestInstall(t *testing.T) {
	directory := t.TempDir()
	for range 2 { // an init container may run twice
		if err := run([]string{"install", directory}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.Stat(filepath.Join(directory, "redis-member"))
	if err != nil || found.Mode() != 0o555 {
		t.Errorf("a program expected, seen %v %v", found, err)
	}
}

func TestWrongCommands(t *testing.T) {
	server := []string{"server", "-name", "a", "-members"}
	for _, arguments := range [][]string{{}, {"start"}, {"install"}, {"live", "-x"}, {"server"}, append(server, "b"), append(server, "a,b"),
		append(server, "a", "-sentinels", "c,d"), append(server, "a", "-patience", "x"), {"sentinel", "-name", "c", "-members", "a", "-sentinels", "c,d,e"}} {
		var known *refusal
		if err := run(arguments); !errors.As(err, &known) || known.status != exitUsage {
			t.Errorf("%v: a refusal expected, seen %v", arguments, err)
		}
	}
}
