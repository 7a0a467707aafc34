#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_IQ4_NL
#include "cooperative.glsl"
