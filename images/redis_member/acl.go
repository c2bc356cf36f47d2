// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The users, each with a file of its own that holds its password.
const (
	adminUser       = "admin"
	replicationUser = "replication"
	sentinelUser    = "sentinel"
)

// The sentinels find each other, and the master, by what is published in this channel: who can publish there can forge a failover.
// Channel patterns of the user itself would also forbid PSUBSCRIBE, so publishing has a selector of its own, with every channel but
// those that begin with __s.
const noSentinelChannel = "-publish -spublish (resetchannels &[^_]* &_ &_[^_]* &__ &__[^s]* +publish +spublish)"

// Rights by user. Commands of one version alone must not be named: another one would refuse the whole file.
var (
	serverRights = map[string]string{
		adminUser:       "~* &* +@all",
		"app":           "~* &* +@all -@admin -migrate " + noSentinelChannel,
		"check":         "+ping +role +info",
		"exporter":      "+ping +info +dbsize +role +select +slowlog|get +slowlog|len +latency|latest +latency|histogram +client|list +client|setname",
		replicationUser: "+psync +replconf +ping",
		// docs of Sentinel, "Redis Access Control List authentication"
		sentinelUser: "&* +multi +exec +ping +info +role +subscribe +publish +config|rewrite +client|setname +client|kill +script|kill",
	}
	// A sentinel knows few commands and refuses rules of others.
	sentinelRights = map[string]string{
		adminUser: "&* +@all",
		"app": "&* +ping +info +role +subscribe +psubscribe +unsubscribe +punsubscribe +client|setname +client|id +sentinel|get-master-addr-by-name" +
			" +sentinel|master +sentinel|masters +sentinel|replicas +sentinel|slaves +sentinel|sentinels +sentinel|myid",
		"check":      "+ping +role +sentinel|get-master-addr-by-name",
		"exporter":   "+ping +info +role +client|setname +sentinel|masters +sentinel|master +sentinel|replicas +sentinel|slaves +sentinel|sentinels +sentinel|ckquorum",
		sentinelUser: "&* +ping +publish +client|setname +sentinel|is-master-down-by-addr",
	}
)

// promotion are the rules by which the sentinels may make this server a master, or only make it follow another one. A priority of 0 is not
// enough: sentinels that chose a replica just before it ended promote it when it is back, with whatever data it then has.
func (o *options) promotion(allowed bool) []string {
	rules := []string{}
	for _, command := range []string{"slaveof", "replicaof"} {
		if allowed {
			rules = append(rules, "+"+command)
			continue
		}
		rules = append(rules, "-"+command)
		for _, name := range o.members {
			rules = append(rules, "+"+command+"|"+o.addresses[name])
		}
	}
	return rules
}

// usersFile renders an ACL file. Passwords are in it as hashes only.
func usersFile(rights map[string]string, passwords map[string][]string) string {
	// Nobody can log in as `default`, but the server loads its log as that user, and leaves out every transaction (MULTI) with a command
	// that the user may not run: it needs all rights (seen with Redis 7.0: "ACLs rules changed between ... accumulated and the EXEC call").
	lines := []string{"user default off ~* &* +@all"}
	for _, user := range sortedKeys(rights) {
		hashes := []string{}
		for _, password := range passwords[user] {
			hashes = append(hashes, fmt.Sprintf("#%x", sha256.Sum256([]byte(password))))
		}
		lines = append(lines, fmt.Sprintf("user %s on %s resetchannels -@all %s", user, strings.Join(hashes, " "), rights[user]))
	}
	return strings.Join(lines, "\n") + "\n"
}

// readPasswords reads the passwords of all users: a file each, a line for each valid password. Programs log in with the first one.
func readPasswords(directory string, rights map[string]string) (map[string][]string, error) {
	passwords := map[string][]string{}
	for user := range rights {
		path := filepath.Join(directory, user)
		content, err := os.ReadFile(path)
		lines := strings.Fields(string(content))
		if err != nil || len(lines) == 0 {
			seen := "an empty file"
			if err != nil {
				seen = err.Error()
			}
			return nil, &refusal{"the password of the user " + user + " in " + path, seen, "mount the Secret there, a key for each user", exitConfig}
		}
		passwords[user] = lines
	}
	return passwords, nil
}
