package charset

import (
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "UTF-8": "UTF-8", "utf8": "UTF-8", "65001": "UTF-8", "CP936": "GB18030", "GBK": "GB18030", "936": "GB18030", "gb2312": "GB18030", "GB18030": "GB18030",
		"ISO-8859-1": "iso-8859-1", "ISO 88591": "?", "88591": "iso-8859-1", "8859-15": "iso-8859-15", "ANSI 1252": "windows-1252", "CP1251": "windows-1251", "windows-1250": "windows-1250",
		"Big5": "big5", "950": "big5", "932": "shift_jis", "OEM 866": "ibm866", "nothing": "?", "12345": "?",
	} {
		d, ok := New(name)
		if got := d.Name; ok && got != want || !ok && want != "?" {
			t.Errorf("%q is %q, %v; want %q", name, got, ok, want)
		}
	}
}

func TestText(t *testing.T) {
	gbk, err := simplifiedchinese.GBK.NewEncoder().String("苏州古城")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, in, want  string
		guessed, broken bool
	}{
		{"", "plain", "plain", false, false}, {"", "苏州", "苏州", false, false}, {"", gbk, "苏州古城", true, false}, {"GBK", gbk, "苏州古城", false, false},
		{"UTF-8", "苏州"[:5], "苏", false, false}, {"UTF-8", gbk + " ", "\ufffd\u0772\u0173\ufffd ", false, true}, {"GBK", "\xff\xff", "\ufffd\ufffd", false, true}, {"1252", "\xe9", "é", false, false},
	} {
		d, ok := New(c.name)
		if got := d.Text([]byte(c.in)); !ok || got != c.want && !c.broken || d.Guessed != c.guessed || (d.Broken > 0) != c.broken {
			t.Errorf("%q as %q is %q, guessed %v, broken %d; want %q, %v, %v", c.in, c.name, got, d.Guessed, d.Broken, c.want, c.guessed, c.broken)
		}
	}
}
