package awake_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"plusmoin/internal/awake"
)

func TestWithTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := awake.WithTimeout(t.Context(), time.Second)
		defer cancel()
		<-ctx.Done()
		if took := time.Since(began); took != time.Second {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestWithTimeoutEndsEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		above, end := context.WithCancel(t.Context())
		ctx, cancel := awake.WithTimeout(above, time.Second)
		defer cancel()
		end()
		<-ctx.Done()
		ctx, cancel = awake.WithTimeout(t.Context(), time.Second)
		cancel()
		<-ctx.Done()
		if took := time.Since(began); took != 0 {
			t.Errorf("ended after %v", took)
		}
	})
}
