package mqttd

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"cityhub/internal/testkit"
)

// Mosquitto's own clients subscribe and publish, in both versions and at both
// QoS.
func TestMosquittoClients(t *testing.T) {
	sub, pub := testkit.Require(t, "mosquitto_sub"), testkit.Require(t, "mosquitto_pub")
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			t.Run(version+" QoS "+qos, func(t *testing.T) {
				b := &board{}
				h := serve(t, Options{Updates: b.open})
				host, port, _ := net.SplitHostPort(h.addr)
				cmd := exec.CommandContext(t.Context(), sub, "-V", version, "-q", qos, "-h", host, "-p", port, "-t", obs, "-t", "v1.1/Datastreams(7)", "-C", "500", "-F", "%t %q %p", "-k", "20")
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = cmd.Wait() }()
				testkit.WaitFor(t, 10*time.Second, "the subscription", func() bool {
					b.mu.Lock()
					defer b.mu.Unlock()
					for s := range b.sessions {
						return len(s.topics) == 2
					}
					return false
				})
				for i := range 500 {
					b.tell([]string{obs, "v1.1/Datastreams(7)"}[i%2], fmt.Sprintf(`{"n":%d}`, i))
				}
				granted := qos
				if qos == "2" {
					granted = "1"
				}
				lines := bufio.NewScanner(out)
				for i := range 500 {
					want := fmt.Sprintf(`%s %s {"n":%d}`, []string{obs, "v1.1/Datastreams(7)"}[i%2], granted, i)
					if !lines.Scan() || lines.Text() != want {
						t.Fatalf("line %d is %q, want %q", i, lines.Text(), want)
					}
				}
				if text, err := exec.CommandContext(t.Context(), pub, "-V", version, "-q", granted, "-h", host, "-p", port, "-t", topic, "-m", `{"t":1,"pm25":1}`).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, text)
				}
				testkit.WaitFor(t, 5*time.Second, "the reading", func() bool { return len(h.log.Observations()) == 1 })
			})
		}
	}
	t.Run("refused wildcard", func(t *testing.T) {
		h := serve(t, Options{Updates: (&board{}).open})
		host, port, _ := net.SplitHostPort(h.addr)
		text, err := exec.CommandContext(t.Context(), sub, "-V", "mqttv5", "-h", host, "-p", port, "-t", "v1.1/#", "-W", "3").CombinedOutput()
		if !strings.Contains(string(text), "denied") {
			t.Errorf("%v: %s", err, text)
		}
	})
}

// Paho subscribes and publishes over one connection.
func TestPaho(t *testing.T) {
	b := &board{}
	h := serve(t, Options{Updates: b.open})
	got := make(chan string, 1000)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + h.addr).SetClientID("paho").SetProtocolVersion(4).SetOrderMatters(true).SetAutoReconnect(false))
	done := func(token mqtt.Token) {
		t.Helper()
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("%v", token.Error())
		}
	}
	done(c.Connect())
	defer c.Disconnect(100)
	done(c.Subscribe(obs, 1, func(_ mqtt.Client, m mqtt.Message) { got <- fmt.Sprint(m.Topic(), m.Qos(), string(m.Payload())) }))
	for i := range 300 {
		b.tell(obs, fmt.Sprint("#", i))
	}
	done(c.Publish(topic, 1, false, `{"t":1,"pm25":1}`))
	for i := range 300 {
		select {
		case m := <-got:
			if want := fmt.Sprint(obs, 1, "#", i); m != want {
				t.Fatalf("%q, want %q", m, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%d messages of 300", i)
		}
	}
	token := c.Subscribe("v1.1/+", 0, nil)
	if !token.WaitTimeout(10*time.Second) || token.(*mqtt.SubscribeToken).Result()["v1.1/+"] != 0x80 {
		t.Errorf("a wildcard: %v", token.(*mqtt.SubscribeToken).Result())
	}
	done(c.Unsubscribe(obs))
}
