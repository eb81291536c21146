package config

import "strings"

// nearest returns the word most like key, or "" if none is like it enough to
// have been meant. Of equals the first is taken.
func nearest(key string, words []string) string {
	folded := strings.NewReplacer("-", "_", " ", "_", ".", "_").Replace(strings.ToLower(key))
	best, least := "", 2+len(key)/4
	if len(key) > 64 { // no key of ours; keep the cost of a wild one down
		return ""
	}
	for _, word := range words {
		if d := distance(folded, word); d < least {
			best, least = word, d
		}
	}
	return best
}

// distance returns how many letters must be added, removed, replaced or
// swapped with their neighbour to get from a to b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
