package sys

import (
	"fmt"
	"os"
)

// HoldCPULatency asks for wake-ups without delay: idle processors poll until
// the file is closed (Documentation/power/pm_qos_interface.rst). It needs the
// right to write /dev/cpu_dma_latency.
func HoldCPULatency() (*os.File, error) {
	f, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("hold the CPU latency request: %w", err)
	}
	if _, err := f.Write(make([]byte, 4)); err != nil {
		f.Close()
		return nil, fmt.Errorf("hold the CPU latency request: %w", err)
	}
	return f, nil
}
