package lab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tunDevice is what network devices are made with whose other end is a file.
const tunDevice = "/dev/net/tun"

// newTun makes such a device in the thread's network namespace, of the kind that the
// IFF_ flags say; see Documentation/networking/tuntap.rst of the kernel. It lasts as
// long as the file.
func newTun(name string, kind uint16) (*os.File, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("name device %s: %w", name, err)
	}
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", tunDevice, err)
	}
	request.SetUint16(kind | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
