#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_Q5_1
#include "cooperative.glsl"
