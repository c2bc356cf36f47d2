// Puts objects without pause, and gets them at the same time, as an application in the cluster does, and tells of each on one line: the
// ledger of what the store has acknowledged. An error is told and the next object is tried: what counts is for how long, and that
// nothing is lost.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// One line of the ledger. At: seconds since 1970, when it began; Took: seconds.
type entry struct {
	Operation string  `json:"operation"`
	Name      string  `json:"name"`
	Hash      string  `json:"hash,omitempty"`
	At        float64 `json:"at"`
	Took      float64 `json:"took"`
	Error     string  `json:"error,omitempty"`
}

type object struct{ name, hash string }

// What the store has acknowledged.
type ledger struct {
	sync.Mutex
	objects []object
}

func (l *ledger) add(made object) {
	l.Lock()
	defer l.Unlock()
	l.objects = append(l.objects, made)
}

func (l *ledger) any() (object, bool) {
	l.Lock()
	defer l.Unlock()
	if len(l.objects) == 0 {
		return object{}, false
	}
	return l.objects[mathrand.IntN(len(l.objects))], true
}

const (
	keys     = "/run/secrets/object-storage/"
	patience = 20 * time.Second // for an answer
	connect  = 3 * time.Second  // for a connection
	tries    = 5                // as S3's own libraries do when a server is busy
	pause    = 50 * time.Millisecond
)

func read(key string) string {
	content, err := os.ReadFile(keys + key)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(content))
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func tell(operation, name, sum string, began time.Time, err error) {
	line := entry{operation, name, sum, float64(began.UnixMilli()) / 1000, time.Since(began).Seconds(), ""}
	if err != nil {
		line.Error = err.Error()
	}
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func put(client *minio.Client, bucket, name string, content []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := client.PutObject(ctx, bucket, name, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	return err
}

func get(client *minio.Client, bucket, name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := client.GetObject(ctx, bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer found.Close()
	content, err := io.ReadAll(found)
	return hash(content), err
}

func main() {
	endpoint, err := url.Parse(read("endpoint"))
	if err != nil {
		panic(err)
	}
	bucket, run := read("bucket"), os.Getenv("RUN")
	// The address of a Service never changes; the cluster's name service has failures of its own, which are not what is measured here.
	addresses, err := net.LookupHost(endpoint.Hostname())
	if err != nil {
		panic(err)
	}
	address := net.JoinHostPort(addresses[0], endpoint.Port())
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: connect}).DialContext(ctx, network, address)
	}
	minio.MaxRetry = tries
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(read("access-key"), read("secret-key"), ""),
		Region:       read("region"),
		BucketLookup: minio.BucketLookupPath,
		// A connection for each request, so that each is sent to any of the Service's pods.
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, ResponseHeaderTimeout: patience},
	})
	if err != nil {
		panic(err)
	}
	var written ledger
	go func() {
		for ; ; time.Sleep(pause) {
			wanted, some := written.any()
			if !some {
				continue
			}
			began := time.Now()
			seen, err := get(client, bucket, wanted.name)
			if err == nil && seen != wanted.hash {
				err = fmt.Errorf("another content: %s", seen)
			}
			tell("get", wanted.name, "", began, err)
		}
	}()
	for number := 0; ; number++ {
		content := make([]byte, 1+mathrand.IntN(64<<10))
		rand.Read(content)
		made := object{fmt.Sprintf("ledger/%s/%06d", run, number), hash(content)}
		began := time.Now()
		err := put(client, bucket, made.name, content)
		tell("put", made.name, made.hash, began, err)
		if err == nil {
			written.add(made)
		}
		time.Sleep(pause)
	}
}
