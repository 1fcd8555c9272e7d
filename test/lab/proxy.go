package lab

// Proxy placeholder
type Proxy struct{}

func (p *Proxy) Close() {}
