package main

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// aGroup is a part of the binary that someone may ask about. The first prefix that fits a symbol's package decides.
type aGroup struct{ name, prefix string }

var groups = []aGroup{
	{"this service", "github.com/bbws/order-lambda"},
	{"aws-sdk-go-v2: dynamodb", "github.com/aws/aws-sdk-go-v2/service/dynamodb"},
	{"aws-sdk-go-v2: s3", "github.com/aws/aws-sdk-go-v2/service/s3"},
	{"aws-sdk-go-v2: sesv2", "github.com/aws/aws-sdk-go-v2/service/sesv2"},
	{"aws-sdk-go-v2: sns", "github.com/aws/aws-sdk-go-v2/service/sns"},
	{"aws-sdk-go-v2: sqs", "github.com/aws/aws-sdk-go-v2/service/sqs"},
	{"aws-sdk-go-v2: sts, sso, ssooidc, signin", "github.com/aws/aws-sdk-go-v2/service/s"},
	{"aws-sdk-go-v2: the rest, smithy", "github.com/aws/aws-sdk-go-v2"},
	{"aws-sdk-go-v2: the rest, smithy", "github.com/aws/smithy-go"},
	{"aws-lambda-go", "github.com/aws/aws-lambda-go"},
	{"guregu/dynamo", "github.com/guregu"},
	{"signintech/gopdf and what it needs", "github.com/signintech"},
	{"signintech/gopdf and what it needs", "github.com/phpdave11"},
	{"zerolog", "github.com/rs/zerolog"},
	{"golang.org/x", "golang.org/x"},
}

// symbol is a line of go tool nm -size: address, size, type, name.
var symbol = regexp.MustCompile(`^\s*[0-9a-f]+\s+(\d+)\s+(\S)\s+(\S+)`)

// size shows what the binary consists of.
func (b *bench) size(ctx context.Context) error {
	b.say("sizes")
	withSymbols := filepath.Join(b.root, ".cache", "bench", "symbols")
	if err := b.build(ctx, withSymbols, ".", ""); err != nil {
		return err
	}
	out, err := command(ctx, b.root, "go", "tool", "nm", "-size", withSymbols)
	if err != nil {
		return err
	}
	whole, err := sizeOf(b.binary)
	if err != nil {
		return err
	}
	sizes := classify(out, whole)
	bare, err := sizeOf(b.bare)
	if err != nil {
		return err
	}
	b.printf("\n### Binary\n\n%s, a function that does nothing %s (×%s).\n\n| part | size |\n|---|---|\n", megabytes(whole), megabytes(bare), ratio(whole, bare))
	for _, name := range slices.SortedFunc(maps.Keys(sizes), func(x, y string) int { return cmp.Compare(sizes[y], sizes[x]) }) {
		b.printf("| %s | %d KB |\n", name, sizes[name]>>10)
	}
	return nil
}

// classify returns how much each part takes of a program of a size, by what go tool nm says of its symbols.
func classify(nm []byte, whole int64) map[string]int64 {
	sizes := map[string]int64{}
	rest := whole
	for line := range bytes.Lines(nm) {
		m := symbol.FindSubmatch(line)
		if m == nil || bytes.ContainsAny(m[2], "bBU") || bytes.HasPrefix(m[3], []byte("go:")) {
			continue // Zeroed memory takes no room in the file; what the linker makes belongs to all packages.
		}
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil || n > whole { // zeroed as well, whatever nm says
			continue
		}
		sizes[group(string(m[3]))] += n
		rest -= n
	}
	sizes["line tables, type descriptions and the rest"] = rest
	return sizes
}

// group returns the name of the part that a symbol belongs to.
func group(symbol string) string {
	symbol = strings.TrimLeft(strings.TrimPrefix(symbol, "type:"), "*")
	for _, g := range groups {
		if strings.HasPrefix(symbol, g.prefix) {
			return g.name
		}
	}
	return "Go's runtime and standard library"
}

func sizeOf(program string) (int64, error) {
	info, err := os.Stat(program)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
