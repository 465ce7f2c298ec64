// Package charset makes UTF-8 of the texts of files that may be in another
// encoding, such as GBK (code page 936) in China. A Decoder is for one
// goroutine.
package charset

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// Decoder makes texts UTF-8.
type Decoder struct {
	Name string // of the encoding that was found by name; empty: none
	enc  encoding.Encoding
	utf8 bool
	// Guessed: a text was not UTF-8 and has been taken as GB 18030.
	Guessed bool
	// Broken counts the texts that had bytes that the encoding does not know.
	Broken int
}

// New gives a Decoder for the encoding called name, e.g. "UTF-8", "GBK", "936",
// "CP1252", "ISO-8859-1", "ANSI 1252". For an empty name, or one that is not
// known (ok is false), each text is UTF-8 if it can be, else GB 18030.
func New(name string) (d *Decoder, ok bool) {
	word := strings.ToLower(strings.TrimSpace(name))
	if word == "" {
		return &Decoder{}, true
	}
	for _, prefix := range []string{"ansi", "oem", "cp", "ms", "windows", "x-windows", "ibm"} {
		if number := strings.TrimLeft(strings.TrimPrefix(word, prefix), " -_"); number != word && digits(number) {
			word = number
		}
	}
	switch word {
	case "65001", "utf8", "utf-8", "unicode":
		return &Decoder{Name: "UTF-8", utf8: true}, true
	case "936", "54936", "gb2312", "gbk", "gb18030", "euc-cn":
		return &Decoder{Name: "GB18030", enc: simplifiedchinese.GB18030}, true
	case "950", "big-5":
		word = "big5"
	case "932", "sjis":
		word = "shift_jis"
	case "949":
		word = "euc-kr"
	case "88591", "8859_1", "iso8859-1", "iso-88591":
		word = "iso-8859-1"
	}
	if n, isLatin := strings.CutPrefix(word, "8859"); isLatin {
		word = "iso-8859-" + strings.TrimLeft(n, "-_")
	}
	if digits(word) {
		for _, prefix := range []string{"windows-", "ibm", "cp"} {
			if e, err := htmlindex.Get(prefix + word); err == nil {
				return &Decoder{Name: prefix + word, enc: e}, true
			}
		}
		return &Decoder{}, false
	}
	e, err := htmlindex.Get(word)
	if err != nil {
		return &Decoder{}, false
	}
	return &Decoder{Name: word, enc: e}, true
}

func digits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// Text is b in UTF-8. Bytes that the encoding does not know become U+FFFD.
func (d *Decoder) Text(b []byte) string {
	ascii := true
	for _, c := range b {
		if c >= 0x80 || c == 0x1b { // ESC begins other sets in some encodings
			ascii = false
			break
		}
	}
	if ascii || d.enc == nil && utf8.Valid(b) {
		return string(b)
	}
	enc := d.enc
	if enc == nil {
		// A field of fixed length may end in the middle of a character.
		if cut := b[:len(b)-partial(b)]; utf8.Valid(cut) {
			return string(cut)
		}
		if d.utf8 {
			d.Broken++
			return strings.ToValidUTF8(string(b), "\ufffd")
		}
		d.Guessed = true
		enc = simplifiedchinese.GB18030
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil || strings.ContainsRune(string(out), utf8.RuneError) {
		d.Broken++
	}
	return strings.ToValidUTF8(string(out), "\ufffd")
}

// partial is how many bytes at the end of b begin a character that b does not have whole.
func partial(b []byte) int {
	for n := 1; n <= min(3, len(b)); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= 0xc0 && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
