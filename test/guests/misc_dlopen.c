// build: -ldl
#include "guest.h"
#include <dlfcn.h>

/* A library loaded after the program has spread: its code, its data and its thread-locals work everywhere. */
static void *worker(void *arg)
{
	double (*cosine)(double) = arg;

	place(2);
	CHECK(cosine(0.0) == 1.0);
	return NULL;
}

int main(void)
{
	pthread_t t;

	place(1);
	void *lib = dlopen("libm.so.6", RTLD_NOW);

	CHECK(lib);
	double (*cosine)(double) = (double (*)(double))dlsym(lib, "cos");

	CHECK(cosine && cosine(0.0) == 1.0);
	place(2);
	CHECK(cosine(0.0) == 1.0);
	CHECK(pthread_create(&t, NULL, worker, (void *)cosine) == 0 && pthread_join(t, NULL) == 0);
	CHECK(dlclose(lib) == 0);
	success();
	return 0;
}
