package cql2

import (
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/cases"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// folder folds text into buffers of its own, so that folding a row's value
// allocates nothing once the buffers have grown. It is not safe for concurrent
// use, and what it returns is valid until its next use.
type folder struct {
	caser    cases.Caser
	src, dst []byte
}

func newFolder() *folder { return &folder{caser: cases.Fold()} }

// caseFold is CASEI: full case folding (Unicode 15, section 5.18).
func (f *folder) caseFold(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf && (s[i] < 'A' || s[i] > 'Z') {
		i++
	}
	if i == len(s) {
		return s
	}
	f.dst = f.dst[:0]
	ascii := true
	for j := 0; j < len(s) && ascii; j++ {
		c := s[j]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		ascii = c < utf8.RuneSelf
		f.dst = append(f.dst, c)
	}
	if !ascii {
		f.src = append(f.src[:0], s...)
		for size := max(64, 2*len(s)); ; size *= 2 {
			if cap(f.dst) < size {
				f.dst = make([]byte, size)
			}
			f.dst = f.dst[:cap(f.dst)]
			f.caser.Reset()
			n, _, err := f.caser.Transform(f.dst, f.src, true)
			f.dst = f.dst[:n]
			if err != transform.ErrShortDst {
				break
			}
		}
	}
	return view(f.dst)
}

// accentFold is ACCENTI: the text without its non-spacing marks, composed
// again. The Japanese voicing marks stay, as the standard recommends
// (/rec/accent-insensitive-comparison/japanese-non-spacing-marks).
func (f *folder) accentFold(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf {
		i++
	}
	if i == len(s) {
		return s
	}
	f.src = norm.NFD.AppendString(f.src[:0], s)
	kept := f.src[:0]
	for i := 0; i < len(f.src); {
		r, n := utf8.DecodeRune(f.src[i:])
		switch base := strokeless(r); {
		case base != 0:
			kept = append(kept, base)
		case unicode.Is(unicode.Mn, r) && r != 0x3099 && r != 0x309A:
		default:
			kept = append(kept, f.src[i:i+n]...)
		}
		i += n
	}
	f.src = kept
	f.dst = norm.NFC.Append(f.dst[:0], f.src...)
	return view(f.dst)
}

// strokeless maps the letters whose diacritic Unicode does not decompose; 0:
// none.
func strokeless(r rune) byte {
	switch r {
	case 'Ø':
		return 'O'
	case 'ø':
		return 'o'
	case 'Ł':
		return 'L'
	case 'ł':
		return 'l'
	case 'Đ':
		return 'D'
	case 'đ':
		return 'd'
	case 'Ħ':
		return 'H'
	case 'ħ':
		return 'h'
	case 'Ŧ':
		return 'T'
	case 'ŧ':
		return 't'
	case 'ı':
		return 'i'
	}
	return 0
}

// view is b as a string without a copy: valid while b is not written to.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// foldLiteral applies CASEI and ACCENTI around a literal at compile time.
func foldLiteral(e Expr) (string, bool) {
	switch e := e.(type) {
	case *String:
		return e.Value, true
	case *Call:
		if e.Op != OpCaseI && e.Op != OpAccentI {
			return "", false
		}
		s, ok := foldLiteral(e.Args[0])
		if !ok {
			return "", false
		}
		f := newFolder()
		if e.Op == OpCaseI {
			return strings.Clone(f.caseFold(s)), true
		}
		return strings.Clone(f.accentFold(s)), true
	}
	return "", false
}
