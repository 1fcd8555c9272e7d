/* SPDX-License-Identifier: Apache-2.0
 *
 * pathtracer - renders a picture by children at every node, as PPM on standard output.
 *
 *     gcc -O2 -I lib -o pathtracer examples/pathtracer.c -lm
 *     popcorn run --nodes 3 -- ./pathtracer 3 > picture.ppm    # node 0, 1 and 2 render every third row
 *     ./pathtracer 3 > picture.ppm                             # the same picture by three children here
 *
 * The scene is there before the children are made, and theirs; each sends its rows through a pipe.
 */
#include <math.h>
#include <stdint.h>

#include "popcorn.h"

enum { WIDTH = 96, HEIGHT = 72, SAMPLES = 16, BOUNCES = 5, MAX_PARTS = 32 };

struct vec { double x, y, z; };
struct sphere { struct vec centre; double radius, glow; struct vec colour; };

static struct sphere scene[12];

static struct vec at(struct vec a, double t, struct vec b)
{
	return (struct vec){a.x + t * b.x, a.y + t * b.y, a.z + t * b.z};
}

static double dot(struct vec a, struct vec b)
{
	return a.x * b.x + a.y * b.y + a.z * b.z;
}

static struct vec unit(struct vec a)
{
	return at((struct vec){0, 0, 0}, 1 / sqrt(dot(a, a)), a);
}

/* A number in [0, 1) of the pixel's own sequence: who renders it makes no difference. */
static double chance(uint64_t *s)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (double)(*s >> 33) / 2147483648.0;
}

static void build(void)
{
	uint64_t seed = 7;
	int i;

	scene[0] = (struct sphere){{0, -1000, 0}, 999, 0, {.7, .7, .7}};
	scene[1] = (struct sphere){{0, 30, 5}, 18, 3, {1, 1, 1}};
	for (i = 2; i < 12; i++)
		scene[i] = (struct sphere){{chance(&seed) * 8 - 4, -.4, chance(&seed) * 6 + 1}, .6, 0,
					   {chance(&seed), chance(&seed), chance(&seed)}};
}

static const struct sphere *hit(struct vec from, struct vec dir, double *near)
{
	const struct sphere *found = NULL;
	int i;

	*near = 1e9;
	for (i = 0; i < 12; i++) {
		struct vec o = at(from, -1, scene[i].centre);
		double b = dot(o, dir);
		double d = b * b - dot(o, o) + scene[i].radius * scene[i].radius;
		double t = d < 0 ? -1 : -b - sqrt(d);

		if (t > 1e-6 && t < *near) {
			*near = t;
			found = &scene[i];
		}
	}
	return found;
}

static struct vec radiance(struct vec from, struct vec dir, uint64_t *seed)
{
	struct vec light = {0, 0, 0}, weight = {1, 1, 1};
	int bounce;

	for (bounce = 0; bounce < BOUNCES; bounce++) {
		double t;
		const struct sphere *s = hit(from, dir, &t);
		double glow = s ? s->glow : .4;
		struct vec c = s ? s->colour : (struct vec){.6, .8, 1};

		weight = (struct vec){weight.x * c.x, weight.y * c.y, weight.z * c.z};
		light = at(light, glow, weight);
		if (!s)
			break;
		from = at(from, t * (1 - 1e-9), dir);
		struct vec normal = unit(at(from, -1, s->centre));
		struct vec random = {chance(seed) * 2 - 1, chance(seed) * 2 - 1, chance(seed) * 2 - 1};
		dir = unit(at(at(normal, .99, unit(random)), .001, normal));
	}
	return light;
}

static unsigned char shade(double v)
{
	return (unsigned char)(255 * (v > 1 ? 1 : sqrt(v)));
}

static void row(int y, unsigned char *out)
{
	int x, i;

	for (x = 0; x < WIDTH; x++) {
		uint64_t seed = (uint64_t)y * WIDTH + x;
		struct vec sum = {0, 0, 0};

		for (i = 0; i < SAMPLES; i++) {
			struct vec dir = {(x + chance(&seed)) / HEIGHT - .67, .5 - (y + chance(&seed)) / HEIGHT, 1};

			sum = at(sum, 1. / SAMPLES, radiance((struct vec){0, .5, -5}, unit(dir), &seed));
		}
		out[3 * x] = shade(sum.x);
		out[3 * x + 1] = shade(sum.y);
		out[3 * x + 2] = shade(sum.z);
	}
}

int main(int argc, char **argv)
{
	static unsigned char rows[WIDTH * 3];
	int parts = argc > 1 ? atoi(argv[1]) : 1;
	int pipes[MAX_PARTS][2];
	pid_t child;
	int i, y, status, bad = 0;

	if (parts < 1 || parts > MAX_PARTS)
		return 2;
	build();
	for (i = 0; i < parts; i++) {
		if (pipe(pipes[i]) != 0)
			return 1;
		child = popcorn_telefork(i);
		if (child < 0 && (errno == ENOSYS || errno == EAGAIN))
			child = fork(); /* no popcorn, or no such node */
		if (child < 0)
			return 1;
		if (child > 0) {
			close(pipes[i][1]);
			continue;
		}
		for (y = i; y < HEIGHT; y += parts) {
			row(y, rows);
			if (write(pipes[i][1], rows, sizeof rows) != (ssize_t)sizeof rows)
				_exit(1);
		}
		fprintf(stderr, "rows %d, %d, ... by process %d at node %d\n", i, i + parts, (int)getpid(), popcorn_current_nid());
		_exit(0);
	}
	printf("P6\n%d %d\n255\n", WIDTH, HEIGHT);
	for (y = 0; y < HEIGHT; y++) {
		size_t have = 0;

		while (have < sizeof rows) {
			ssize_t n = read(pipes[y % parts][0], rows + have, sizeof rows - have);

			if (n <= 0)
				return 1;
			have += (size_t)n;
		}
		fwrite(rows, 1, sizeof rows, stdout);
	}
	for (i = 0; i < parts; i++)
		if (wait(&status) < 0 || status != 0)
			bad = 1;
	return bad;
}
