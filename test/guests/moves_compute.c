// only: moves
// args: 0.2
#include "moves.h"

/* Computes the same thing over and over, in registers, in memory and in floating point. */
int main(int argc, char **argv)
{
	static uint32_t table[8 * 1024];
	uint64_t first = 0;

	moves_begin(argc, argv);
	for (int round = 0; round == 0 || moves_go_on(); round++) {
		uint32_t x = 1;
		double d = 1;

		for (int i = 0; i < 8 * 1024; i++) {
			table[i] = x = x * 1664525 + 1013904223;
			d = d * 1.0000001 + x;
		}
		uint64_t h = hash_bytes(table, sizeof table) ^ hash_bytes(&d, sizeof d);

		if (round == 0)
			first = h;
		CHECK(h == first);
	}
	return moves_end();
}
