package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// NATSCluster is three NATS servers with JetStream in processes of their own, as
// an operator would run them: the real nats-server of the version in go.mod,
// each with a folder of its own and sync_interval: always. All connections, of
// clients and between the servers, go through proxies that can be cut.
//
// Its methods are for one goroutine.
type NATSCluster struct {
	nodes []*natsNode
	links []*link
	t     testing.TB
}

type natsNode struct {
	name   string
	config string
	log    *tail
	proc   *process
	binary string
}

// StartNATSCluster starts a cluster of three. It does not wait until the
// servers have found each other: who opens the log there has to. The servers
// are killed at the end of the test.
func StartNATSCluster(t testing.TB) *NATSCluster {
	t.Helper()
	binary, err := buildNATS()
	if err != nil {
		t.Fatal(err)
	}
	const n = 3
	c := &NATSCluster{t: t}
	dir := t.TempDir() // before the cleanup, so that it goes after the servers
	t.Cleanup(func() {
		for _, node := range c.nodes {
			if node.proc != nil {
				node.proc.kill()
			}
			showLog(t, node.name, node.log)
		}
		for _, l := range c.links {
			l.close()
		}
	})
	var clients, routes [n]string
	for i := range n {
		clients[i], routes[i] = nodeAddress(t, i), nodeAddress(t, i)
	}
	for i := range n {
		var to []string
		for j := range n {
			if i != j {
				to = append(to, "nats-route://"+c.link(i, j, routes[j]))
			}
		}
		c.link(-1, i, clients[i])
		name := fmt.Sprintf("n%d", i+1)
		node := &natsNode{name: name, config: filepath.Join(dir, name+".conf"), log: &tail{}, binary: binary}
		c.nodes = append(c.nodes, node)
		// advertise: no server may find a way to another one past the proxies.
		conf := fmt.Sprintf(`server_name: %s
listen: %q
jetstream {
  store_dir: %q
  max_memory_store: 64MB
  max_file_store: 2GB
  sync_interval: always
}
cluster {
  name: city
  listen: %q
  advertise: "127.0.0.1:9"
  no_advertise: true
  ping_interval: "2s"
  routes: [%s]
}
`, name, clients[i], filepath.Join(dir, name), routes[i], strings.Join(to, ", "))
		if err := os.WriteFile(node.config, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		c.Start(i)
	}
	return c
}

// nodeAddress is a free address of a node. On Linux each node has an IP address
// of its own, where no outgoing connection takes the port while the node is down.
func nodeAddress(t testing.TB, i int) string {
	t.Helper()
	host := "127.0.0.1"
	if runtime.GOOS == "linux" {
		host = fmt.Sprintf("127.0.0.%d", 101+i)
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *NATSCluster) link(from, to int, target string) string {
	l, err := newLink(from, to, target)
	if err != nil {
		c.t.Fatal(err)
	}
	c.links = append(c.links, l)
	return l.ln.Addr().String()
}

// URL names all servers, for clients.
func (c *NATSCluster) URL() string {
	var urls []string
	for _, l := range c.links {
		if l.from < 0 {
			urls = append(urls, "nats://"+l.ln.Addr().String())
		}
	}
	return strings.Join(urls, ",")
}

// Nodes is how many servers there are; the others' argument counts from 0.
func (c *NATSCluster) Nodes() int { return len(c.nodes) }

// Start starts a server again, on its folder and ports.
func (c *NATSCluster) Start(i int) {
	c.t.Helper()
	n := c.nodes[i]
	p, err := startProcess(n.name, exec.Command(n.binary, "-c", n.config), n.log, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	n.proc = p
}

// Kill9 ends a server as kill -9 does and returns when it has ended.
func (c *NATSCluster) Kill9(i int) { c.nodes[i].proc.kill() }

// Cut takes a server off the network: nothing is forwarded from or to it, by
// other servers and by clients, and nobody is told. Heal undoes it; what was
// held back arrives then.
func (c *NATSCluster) Cut(i int) {
	for _, l := range c.links {
		if l.from == i || l.to == i {
			l.cut()
		}
	}
}

// Heal ends Cut.
func (c *NATSCluster) Heal(i int) {
	for _, l := range c.links {
		if l.from == i || l.to == i {
			l.heal()
		}
	}
}

// Log is the end of what a server has written.
func (c *NATSCluster) Log(i int) string { return c.nodes[i].log.String() }

var buildNATS = sync.OnceValues(func() (string, error) {
	return buildProgram("nats-server", "github.com/nats-io/nats-server/v2")
})
