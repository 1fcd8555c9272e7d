// args: 4 4000 8
// soak: 8 200000 16
// calls: clone3
#include "guest.h"

enum { DIM = 4, MAX_K = 16 };
static int threads, points, k;
static int32_t (*data)[DIM];
static int *label;
static int64_t centre[MAX_K][DIM], sum[64][MAX_K][DIM], count[64][MAX_K];
static pthread_barrier_t barrier;

static int nearest(const int32_t *p)
{
	int best = 0;
	int64_t least = INT64_MAX;

	for (int c = 0; c < k; c++) {
		int64_t d = 0;

		for (int i = 0; i < DIM; i++)
			d += (p[i] - centre[c][i]) * (p[i] - centre[c][i]);
		if (d < least)
			least = d, best = c;
	}
	return best;
}

static void recentre(void)
{
	for (int c = 0; c < k; c++)
		for (int i = 0; i < DIM; i++) {
			int64_t s = 0, n = 0;

			for (int t = 0; t < threads; t++)
				s += sum[t][c][i], n += count[t][c];
			if (n)
				centre[c][i] = s / n;
		}
}

/* k-means in integers, so that the result does not depend on who added what first. */
static void *worker(void *arg)
{
	long t = (long)arg;

	place(t);
	for (int round = 0; round < 5; round++) {
		memset(sum[t], 0, sizeof sum[t]);
		memset(count[t], 0, sizeof count[t]);
		for (int p = points * t / threads; p < points * (t + 1) / threads; p++) {
			int c = label[p] = nearest(data[p]);

			count[t][c]++;
			for (int i = 0; i < DIM; i++)
				sum[t][c][i] += data[p][i];
		}
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			recentre();
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	uint32_t x = 12345;

	CHECK(argc == 4);
	threads = atoi(argv[1]), points = atoi(argv[2]), k = atoi(argv[3]);
	data = malloc(points * sizeof *data), label = malloc(points * sizeof *label);
	for (int p = 0; p < points; p++)
		for (int i = 0; i < DIM; i++)
			data[p][i] = (x = x * 1664525 + 1013904223) >> 16;
	for (int c = 0; c < k; c++)
		for (int i = 0; i < DIM; i++)
			centre[c][i] = data[c][i];
	pthread_barrier_init(&barrier, NULL, threads);
	run_threads(threads, worker);
	for (int c = 0; c < k; c++)
		printf("%lld %lld\n", (long long)centre[c][0], (long long)centre[c][DIM - 1]);
	printf("labels %016llx\n", (unsigned long long)hash_bytes(label, points * sizeof *label));
	success();
	return 0;
}
