package mqttd

import (
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	tests := []struct {
		name       string
		b          []byte
		body, size int
		bad        bool
	}{
		{"empty", nil, 0, 0, false},
		{"one byte", []byte{0x30}, 0, 0, false},
		{"zero", []byte{0xc0, 0}, 2, 2, false},
		{"127", []byte{0x30, 0x7f}, 2, 129, false},
		{"128, half a length", []byte{0x30, 0x80}, 0, 0, false},
		{"128", []byte{0x30, 0x80, 0x01}, 3, 131, false},
		{"largest", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 5, 5 + 268435455, false},
		{"five length bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, 0, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, body, size, err := header(tt.b)
			if body != tt.body || size != tt.size || (err != nil) != tt.bad {
				t.Errorf("body at %d, size %d, %v; want %d, %d", body, size, err, tt.body, tt.size)
			}
		})
	}
}

func TestParsePublish(t *testing.T) {
	var p publish
	if err := parsePublish(0x32, []byte("\x00\x03a/b\x01\x02hello"), &p, false); err != nil || string(p.topic) != "a/b" || string(p.payload) != "hello" || p.id != 0x0102 || p.qos != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if err := parsePublish(0x31, []byte("\x00\x01a"), &p, false); err != nil || string(p.topic) != "a" || len(p.payload) != 0 || p.qos != 0 {
		t.Errorf("retained, QoS 0, empty: %+v, %v", p, err)
	}
	bad := []struct {
		first byte
		body  string
		want  string
	}{
		{0x30, "", "without a topic"},
		{0x30, "\x00", "without a topic"},
		{0x30, "\x00\x00x", "topic of 0 bytes"},
		{0x30, "\x00\x05abc", "topic of 5 bytes"},
		{0x38, "\x00\x01a", "DUP"},
		{0x32, "\x00\x01a\x01", "without a packet identifier"},
		{0x32, "\x00\x01a\x00\x00", "identifier 0"},
		{0x34, "\x00\x01a\x00\x01", "QoS 2"},
		{0x36, "\x00\x01a\x00\x01", "QoS 3"},
	}
	for _, tt := range bad {
		if err := parsePublish(tt.first, []byte(tt.body), &p, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%x %q: %v, want %q", tt.first, tt.body, err, tt.want)
		}
	}
	for _, topic := range []string{"a/+/b", "#", "a\x00b", "a\xffb"} {
		if checkTopic([]byte(topic)) == nil {
			t.Errorf("topic %q was taken", topic)
		}
	}
}

func TestParseConnect(t *testing.T) {
	c, code, err := parseConnect(0x10, []byte("\x00\x04MQTT\x04\xc6\x00\x3c\x00\x02id\x00\x01w\x00\x02hi\x00\x01u\x00\x02pw"))
	if err != nil || code != 0 || c.clientID != "id" || !c.cleanSession || c.keepAlive != 60 || c.username != "u" || c.password != "pw" || !c.hasUser || !c.hasPass {
		t.Errorf("%+v %d %v", c, code, err)
	}
	bad := []struct {
		name string
		body string
		code byte
		want string
	}{
		{"MQTT 3.1", "\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02id", connBadProtocol, "3.1.1"},
		{"MQTT 6", "\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x02id", connBadProtocol, "3.1.1"},
		{"MQTT 5 without properties", "\x00\x04MQTT\x05\x02\x00\x3c", 0, "properties"},
		{"unknown property", "\x00\x04MQTT\x05\x02\x00\x3c\x02\x7f\x00\x00\x02id", 0, "unknown property"},
		{"receive maximum 0", "\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x00\x00\x02id", 0, "receive maximum"},
		{"authentication method", "\x00\x04MQTT\x05\x02\x00\x3c\x04\x15\x00\x01x\x00\x02id", reasonBadMethod, "authentication"},
		{"other protocol", "\x00\x04HTTP\x04\x02\x00\x3c\x00\x02id", 0, "HTTP"},
		{"reserved flag", "\x00\x04MQTT\x04\x03\x00\x3c\x00\x02id", 0, "reserved"},
		{"will QoS without will", "\x00\x04MQTT\x04\x0a\x00\x3c\x00\x02id", 0, "will"},
		{"password without user", "\x00\x04MQTT\x04\x42\x00\x3c\x00\x02id\x00\x01p", 0, "password"},
		{"no id, session kept", "\x00\x04MQTT\x04\x00\x00\x3c\x00\x00", connIdentifierRejected, "identifier"},
		{"truncated", "\x00\x04MQTT\x04\x82\x00\x3c\x00\x02id\x00\x05u", 0, "user name"},
		{"bytes too many", "\x00\x04MQTT\x04\x02\x00\x3c\x00\x02idx", 0, "too many"},
		{"id not UTF-8", "\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xff\xfe", 0, "UTF-8"},
	}
	for _, tt := range bad {
		_, code, err := parseConnect(0x10, []byte(tt.body))
		if err == nil || code != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: code %d, %v; want code %d, %q", tt.name, code, err, tt.code, tt.want)
		}
	}
}

func TestParseFilters(t *testing.T) {
	id, filters, err := parseFilters(0x82, []byte("\x00\x07\x00\x01#\x01\x00\x04$SYS\x02"), true, false)
	if err != nil || id != 7 || len(filters) != 2 || filters[1] != (wanted{"$SYS", 2}) {
		t.Errorf("%d %q %v", id, filters, err)
	}
	for _, body := range []string{"", "\x00\x07", "\x00\x00\x00\x01#\x01", "\x00\x07\x00\x01#", "\x00\x07\x00\x01#\x03", "\x00\x07\x00\x09#\x01"} {
		if _, _, err := parseFilters(0x82, []byte(body), true, false); err == nil {
			t.Errorf("%q was taken", body)
		}
	}
}

// FuzzPackets feeds every parser: none may panic, or give slices beyond its input.
func FuzzPackets(f *testing.F) {
	for _, s := range []string{"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id", "\x32\x09\x00\x03a/b\x01\x02hi", "\x82\x06\x00\x07\x00\x01#\x01", "\xc0\x00", "\x40\x04\x00\x01\x00\x00", "\x82\x09\x00\x07\x02\x0b\x01\x00\x01#\x01", "\x30\xff\xff\xff\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		first, body, size, err := header(b)
		if err != nil || size == 0 || size > len(b) {
			return
		}
		packet := b[body:size]
		switch first >> 4 {
		case typePublish:
			var p publish
			for _, v5 := range []bool{false, true} {
				if parsePublish(first, packet, &p, v5) == nil && len(p.topic)+len(p.payload) > len(packet) {
					t.Fatal("more out than in")
				}
			}
		case typeConnect:
			if _, code, err := parseConnect(first, packet); code != 0 && err == nil {
				t.Fatal("refused without a reason")
			}
		case typeSubscribe, typeUnsubscribe:
			for _, v5 := range []bool{false, true} {
				_, _, _ = parseFilters(first, packet, first>>4 == typeSubscribe, v5)
			}
		case typePuback:
			for _, v5 := range []bool{false, true} {
				if id, err := parsePuback(first, packet, v5); err == nil && id == 0 {
					t.Fatal("identifier 0 was taken")
				}
			}
		}
	})
}

func BenchmarkParsePublish(b *testing.B) {
	packet := []byte("\x32\x60\x00\x1cterminals/load-000001/up/json\x01\x02{\"t\":1790000000000,\"pm25\":12.3}")
	packet[1] = byte(len(packet) - 2)
	packet[3] = byte(len("terminals/load-000001/up/json"))
	var p publish
	b.ReportAllocs()
	for b.Loop() {
		first, body, size, err := header(packet)
		if err != nil || size != len(packet) {
			b.Fatal(err)
		}
		if err := parsePublish(first, packet[body:size], &p, false); err != nil {
			b.Fatal(err)
		}
	}
}
