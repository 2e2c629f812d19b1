// A core program for the doctor's link: what aiecc generates, reduced to one call.
extern "C" void npukbuild_probe(int *in, int *out);

int given[64];
int taken[64];

extern "C" void core_0_2() {
  npukbuild_probe(given, taken);
}
