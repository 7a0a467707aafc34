#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

// y[i] = x[i] * k + i
layout(local_size_x = 64, local_size_x_id = 0) in;

layout(buffer_reference, scalar) readonly buffer X { float x[]; };
layout(buffer_reference, scalar) writeonly buffer Y { float y[]; };

layout(push_constant, scalar) uniform Push {
    X x;
    Y y;
    uint n;
    float k;
};

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < n) {
        y.y[i] = x.x[i] * k + float(i);
    }
}
